"""What a run writes: every file whole, nobody's files lost."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
import torch

from diar_ops import OutputError
from diar_ops.data import read_image
from diar_ops.results.files import homographies_document, write_results
from tests.results.small_results import (
    NAMES,
    SRGB,
    WRITTEN,
    aligned,
    alignment,
    contents,
    listing,
    reconstruction,
    write,
)


@pytest.mark.parametrize("bit_depth", [8, 16])
def test_writes_everything(tmp_path: Path, bit_depth: int) -> None:
    write(tmp_path, report="<html>", bit_depth=bit_depth, icc_profile=SRGB)
    assert listing(tmp_path) == sorted([*WRITTEN, "report.html"])
    top = 2**bit_depth - 1
    clean = read_image(tmp_path / "clean.png")
    assert clean.bit_depth == bit_depth
    assert clean.icc_profile == SRGB
    assert clean.valid is None, "all of the picture is covered: no alpha"
    assert torch.equal(clean.pixels.int(), (reconstruction().image * top).round().int())
    for t, name in enumerate(("a", "b")):
        photo = read_image(tmp_path / "aligned" / f"{name}.png")
        assert photo.bit_depth == bit_depth
        assert photo.icc_profile == SRGB
        assert (photo.pixels.int() == round(0.25 * (t + 1) * top)).all()
        weight = read_image(tmp_path / "weights" / f"{name}.png")
        assert weight.bit_depth == 8
        assert weight.icc_profile is None, "a share is no colour"
        expected = (reconstruction().weights[t] * 255).round().int()
        assert torch.equal(weight.pixels[:1].int(), expected)
    shown = read_image(tmp_path / "aligned" / "b.png").valid
    assert shown is not None
    assert not shown[:, :, 0].any()
    assert shown[:, :, 1:].all()
    text = (tmp_path / "homographies.json").read_text(encoding="utf-8")
    assert json.loads(text) == homographies_document(NAMES, alignment())
    assert (tmp_path / "report.html").read_text() == "<html>"


def test_what_no_photo_shows_is_transparent(tmp_path: Path) -> None:
    write_results(tmp_path, NAMES, alignment(), reconstruction(covered=False), aligned())
    valid = read_image(tmp_path / "clean.png").valid
    assert valid is not None
    assert not valid[:, :, :5].any()
    assert valid[:, :, 5:].all()


def test_names_beyond_ascii_stay_readable(tmp_path: Path) -> None:
    names = ["Gemälde ①.jpg", "絵.jpg", "c.jpg"]
    write(tmp_path, names=names)
    assert (tmp_path / "aligned" / "Gemälde ①.png").is_file()
    assert "絵.jpg" in (tmp_path / "homographies.json").read_text(encoding="utf-8")


def test_refusal_leaves_all_as_it_was(tmp_path: Path) -> None:
    write(tmp_path, report="first")
    before = contents(tmp_path)
    with pytest.raises(OutputError, match="already holds results"):
        write(tmp_path, names=["x.jpg", "y.jpg", "z.jpg"], report="second", bit_depth=16)
    assert contents(tmp_path) == before


def test_overwriting_removes_pictures_of_photos_that_no_longer_take_part(tmp_path: Path) -> None:
    write(tmp_path, names=["old.jpg", "b.jpg", "left_out.jpg"])
    mine = {
        "aligned/mine.png": b"1",
        "weights/mine.txt": b"2",
        "notes.txt": b"3",
        "old.png": b"4",
        "aligned/deep/old.png": b"5",
    }
    for name, data in mine.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / "weights" / "left_out.png").mkdir()  # a folder is none of our pictures
    write(tmp_path, overwrite=True)
    assert listing(tmp_path) == sorted([*WRITTEN, *mine])
    assert {name: (tmp_path / name).read_bytes() for name in mine} == mine
    assert (tmp_path / "weights" / "left_out.png").is_dir()


@pytest.mark.parametrize("ignores_case", [False, True])
def test_a_photo_renamed_by_case_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ignores_case: bool) -> None:
    """Where case does not count, removing the old name would remove the new picture."""
    write(tmp_path, names=["A.jpg", "b.jpg", "c.jpg"])
    monkeypatch.setattr(Path, "samefile", lambda *_: ignores_case)
    write(tmp_path, overwrite=True)
    assert (tmp_path / "aligned" / "a.png").is_file()
    assert (tmp_path / "aligned" / "A.png").is_file() == ignores_case


@pytest.mark.parametrize(
    "document", ["", "[]", "{}", '{"frames": [1]}', '{"frames": null}', '{"frames": [{"file": "../../x"}]}']
)
def test_a_foreign_document_removes_nothing(tmp_path: Path, document: str) -> None:
    folder = tmp_path / "deep" / "out"
    write(folder)
    (tmp_path / "x.png").write_bytes(b"mine")
    (tmp_path / "deep" / "x.png").write_bytes(b"mine")
    (folder / "homographies.json").write_text(document)
    write(folder, overwrite=True)
    assert listing(folder) == WRITTEN
    assert (tmp_path / "x.png").is_file()
    assert (tmp_path / "deep" / "x.png").is_file()


@pytest.mark.parametrize("failing", range(1, 7))
def test_a_full_disk_loses_no_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    """Whichever file the disk has no more room for: each is the old one or the new one, whole."""
    write(tmp_path / "old", names=["old.jpg", "b.jpg", "c.jpg"])
    write(tmp_path / "new", bit_depth=16)
    old, new = contents(tmp_path / "old"), contents(tmp_path / "new")
    replace, calls = os.replace, [0]

    def fill_up(*args: str) -> None:
        calls[0] += 1
        if calls[0] == failing + 1:  # the first is the probe of the folder
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(*args)

    monkeypatch.setattr(os, "replace", fill_up)
    with pytest.raises(OutputError, match="the disk is full"):
        write(tmp_path / "old", bit_depth=16, overwrite=True)
    after = contents(tmp_path / "old")
    assert set(old) <= set(after), "earlier pictures go only when all new ones are there"
    for name, data in after.items():
        assert data in (old.get(name), new.get(name)), f"{name} is neither old nor new"


def test_unknown_weights_are_not_written_and_earlier_ones_removed(tmp_path: Path) -> None:
    write(tmp_path)
    assert (tmp_path / "weights" / "a.png").is_file()
    unknown = reconstruction()._replace(weights=None)
    write_results(tmp_path, NAMES, alignment(), unknown, aligned(), overwrite=True)
    assert not any((tmp_path / "weights").iterdir())
    assert sorted(path.name for path in (tmp_path / "aligned").iterdir()) == ["a.png", "b.png"]
