"""One person's photos and run, without a browser."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from diar_ops import OptionError
from diar_ops.app.corners import crop_at, show_corners
from diar_ops.app.session import Session, Sessions, Stopped
from diar_ops.app.words import name_titles, photo_cards
from diar_ops.data import read_image
from diar_ops.results import CleanOptions
from tests.conftest import ROOT

PHOTOS = [ROOT / "examples" / "demo_sequence" / f"0{t}.png" for t in range(3)]


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    people, uploads = tmp_path / "people", tmp_path / "uploads"
    people.mkdir()
    uploads.mkdir()
    return Sessions(people, uploads)


def received(sessions: Sessions, file: Path) -> Path:
    """A file as it comes from a browser."""
    path = sessions.uploads / file.stem / file.name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(file.read_bytes())
    return path


def test_a_name_given_twice_is_two_photos(sessions: Sessions) -> None:
    session = sessions.get("one")
    for _ in range(2):
        session.add([received(sessions, PHOTOS[0])])
    assert list(session.cards) == ["00.png", "00_2.png"]


def test_closing_leaves_nothing_but_what_others_share(sessions: Sessions) -> None:
    for key in ("one", "two"):
        sessions.get(key).add([received(sessions, PHOTOS[0])])
    sessions.close("one")
    assert len(list(sessions.root.iterdir())) == len(list(sessions.uploads.iterdir())) == 1
    sessions.close_all()
    assert not list(sessions.root.iterdir())
    assert not list(sessions.uploads.iterdir())


def test_stop(sessions: Sessions) -> None:
    session = sessions.get("one")
    session.add([received(sessions, photo) for photo in PHOTOS])
    steps = session.run(CleanOptions(max_size=64))
    next(steps)
    session.stop()
    with pytest.raises(Stopped):
        list(steps)
    assert not (session.folder / "results" / "clean.png").exists()
    assert session.result is None


def test_a_file_that_did_not_arrive(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gone\.png did not arrive"):
        Session(tmp_path).add([tmp_path / "gone.png"])


def test_names_are_no_markup(tmp_path: Path) -> None:
    bad = tmp_path / "<script>.jpg"
    bad.write_text("no photo")
    (tmp_path / "person").mkdir()
    session = Session(tmp_path / "person")
    session.add([bad])
    assert "<script>" not in photo_cards(session.cards.values())


def test_sentences_name_parts_of_the_page() -> None:
    assert name_titles("`max_size` must be 16") == "“Max size” must be 16"


def test_corners_in_any_order_and_size(tmp_path: Path) -> None:
    photo = torch.zeros(3, 1800, 900, dtype=torch.uint8)  # shown at half its size
    clicked = [(399.5, 799.5), (99.5, 199.5), (99.5, 799.5), (399.5, 199.5)]
    show_corners(photo, clicked, tmp_path / "shown.png")
    assert read_image(tmp_path / "shown.png").size == (900, 450)
    assert crop_at(clicked, (1800, 900), None) == "199.50,399.50 799.50,399.50 799.50,1599.50 199.50,1599.50"
    assert crop_at(clicked, (1800, 900), 450).startswith("49.50,99.50 ")
    with pytest.raises(OptionError, match="four corners"):
        crop_at(clicked[:3], (1800, 900), None)
