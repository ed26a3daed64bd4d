"""One person's photos and run, without a browser."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from diar_ops import OptionError
from diar_ops.app.corners import crop_at, edit_corners
from diar_ops.app.session import Session, Sessions, Stopped
from diar_ops.app.words import name_titles, photo_cards
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


def test_corners_in_pixels_of_the_photo_that_is_read() -> None:
    edited = {"corners": [[0.25, 0.25], [0.75, 0.25], [0.75, 0.5], [0.25, 0.5]]}
    assert crop_at(edited, (1800, 900), None) == "224.50,449.50 674.50,449.50 674.50,899.50 224.50,899.50"
    assert crop_at(edited, (1800, 900), 450).startswith("55.75,112.00 ")


@pytest.mark.parametrize(
    "edited",
    [
        None,
        [0],
        {},
        *({"corners": c} for c in (None, [[0, 0]] * 3, [[0, 0, 0]] * 4, [[0, "x"]] * 4, [[0, math.nan]] * 4)),
    ],
)
def test_what_is_no_four_corners(edited: Any) -> None:
    with pytest.raises(OptionError, match="drag its four corners"):
        crop_at(edited, (100, 100), None)


def test_corners_begin_at_the_outline() -> None:
    photo = torch.full((3, 600, 800), 200, dtype=torch.uint8)
    photo[:, 150:450, 200:600] = torch.randint(60, (3, 300, 400), dtype=torch.uint8)
    found = edit_corners(photo)["corners"]
    assert torch.tensor(found).allclose(
        torch.tensor([[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]], dtype=torch.float32), atol=0.005
    )
    assert edit_corners(torch.zeros(3, 60, 80))["corners"] == [(0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.1, 0.9)]
