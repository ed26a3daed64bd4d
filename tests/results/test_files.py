"""What a run leaves in its folder: every name distinct, every file whole, nobody's files lost."""

from __future__ import annotations

import errno
import json
import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import ImageCms
from torch import Tensor

from diar_ops import Alignment, OutputError, Reconstruction
from diar_ops.data import read_image
from diar_ops.results import (
    check_results_folder,
    homographies_document,
    output_names,
    write_results,
)
from tests.harness import generator
from tests.photos import exact_alignment

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
NAMES = ["a.jpg", "b.jpg", "c.jpg"]
SIZE = (12, 16)


def alignment(success: tuple[bool, ...] = (True, True, False)) -> Alignment:
    """Frame t is shifted by t pixels; what failed did so by chance."""
    count = len(success)
    shifts = np.stack([[[1.0, 0, -t], [0, 1, 0], [0, 0, 1]] for t in range(count)])
    return exact_alignment(shifts, SIZE, success=list(success))._replace(
        inliers=torch.arange(count) + 40, overlap=torch.full((count,), 1 / 3)
    )


def reconstruction(count: int = 3, *, covered: bool = True) -> Reconstruction:
    coverage = torch.full((1, *SIZE), 2)
    if not covered:
        coverage[:, :, :5] = 0
    random = generator("results picture")
    image = torch.rand(3, *SIZE, generator=random)
    weights = torch.rand(count, 1, *SIZE, generator=random)
    return Reconstruction(image, coverage, weights, torch.ones(count, 3))


def aligned(frames: tuple[int, ...] = (0, 1)) -> Iterator[tuple[int, Tensor, Tensor]]:
    for t in frames:
        valid = torch.ones(1, *SIZE, dtype=torch.bool)
        valid[:, :, :t] = False
        yield t, torch.full((3, *SIZE), 0.25 * (t + 1)), valid


def write(folder: Path, *, names: list[str] = NAMES, **options: object) -> None:
    write_results(folder, names, alignment(), reconstruction(), aligned(), **options)


def listing(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in listing(folder)}


WRITTEN = [
    "aligned/a.png",
    "aligned/b.png",
    "clean.png",
    "homographies.json",
    "weights/a.png",
    "weights/b.png",
]

# --- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], []),
        (["a.jpg", "b.JPEG", "c"], ["a.png", "b.png", "c.png"]),
        (["a.jpg", "a.tif"], ["a.jpg.png", "a.tif.png"]),
        (["a.jpg", "a.jpg", "a.jpg"], ["a.jpg.png", "a.jpg_2.png", "a.jpg_3.png"]),
        # On Windows and macOS these would be one file.
        (["IMG_1.JPG", "img_1.jpg"], ["IMG_1.JPG.png", "img_1.jpg_2.png"]),
        (["IMG_1.JPG", "img_1.png"], ["IMG_1.JPG.png", "img_1.png.png"]),
        # A number, or what is left of a longer name, may itself be taken.
        (["a.jpg_2.png", "a.jpg", "a.jpg"], ["a.jpg_2.png", "a.jpg.png", "a.jpg_3.png"]),
        (["a.jpg", "a.tif", "a.jpg.webp"], ["a.jpg.png", "a.tif.png", "a.jpg_2.png"]),
        (["scan.v2.tif", "scan.v3.tif"], ["scan.v2.png", "scan.v3.png"]),
    ],
)
def test_output_names(names: list[str], expected: list[str]) -> None:
    assert output_names(names) == expected


@given(
    st.lists(
        st.builds(
            lambda stem, number, suffix: f"{stem}{number}{suffix}",
            st.sampled_from(["a", "A", "é", unicodedata.normalize("NFD", "É"), "a.jpg"]),
            st.sampled_from(["", "_2", "_3"]),
            st.sampled_from([".jpg", ".JPG", ".tif", ""]),
        ),
        max_size=8,
    )
)
@example(["a.jpg", "a.jpg", "a.jpg_2.png"])
def test_output_names_are_distinct_on_every_file_system(names: list[str]) -> None:
    files = output_names(names)
    assert len(files) == len(names)
    assert all(file.endswith(".png") and "/" not in file for file in files)
    assert len({unicodedata.normalize("NFC", file).casefold() for file in files}) == len(names)
    assert files == output_names(names)


# --- the document -----------------------------------------------------------------------------


def test_homographies_document_has_the_documented_schema() -> None:
    document = homographies_document(NAMES, alignment())
    assert document == json.loads(json.dumps(document, allow_nan=False)), "plain JSON throughout"
    assert list(document) == ["reference", "size", "distortion", "frames"]
    assert document["reference"] == "a.jpg"
    assert document["size"] == [12, 16]  # height, width
    assert document["distortion"] == 0
    assert document["frames"] == [
        {
            "file": "a.jpg",
            "success": True,
            "reason": "OK",
            "inliers": 40,
            "overlap": 0.333333,
            "homography_reference_frame": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        },
        {
            "file": "b.jpg",
            "success": True,
            "reason": "OK",
            "inliers": 41,
            "overlap": 0.333333,
            "homography_reference_frame": [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        },
        {
            "file": "c.jpg",
            "success": False,
            "reason": "CHANCE_LEVEL",
            "inliers": 42,
            "overlap": 0.0,
            "homography_reference_frame": None,
        },
    ]


def test_homographies_keep_all_their_digits() -> None:
    given_alignment = alignment((True, True))
    exact = 0.1 + 2**-52
    given_alignment.homography_reference_frame[1, 2, 0] = exact
    text = json.dumps(homographies_document(NAMES[:2], given_alignment))
    assert json.loads(text)["frames"][1]["homography_reference_frame"][2][0] == exact


# --- the folder -------------------------------------------------------------------------------


def test_check_results_folder_creates_it_and_leaves_no_trace(tmp_path: Path) -> None:
    folder = check_results_folder(str(tmp_path / "new" / "out"), overwrite=False)
    assert folder == tmp_path / "new" / "out"
    assert folder.is_dir()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["clean.png", "homographies.json", "report.html", "aligned/", "weights/"]
)
def test_check_results_folder_refuses_earlier_results(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.mkdir() if name.endswith("/") else path.write_bytes(b"mine")
    with pytest.raises(
        OutputError, match=rf"already holds results \({path.name}\); choose another"
    ):
        check_results_folder(tmp_path, overwrite=False)
    assert check_results_folder(tmp_path, overwrite=True) == tmp_path
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_check_results_folder_accepts_foreign_files(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert check_results_folder(tmp_path, overwrite=False) == tmp_path
    assert listing(tmp_path) == ["notes.txt"]


def test_check_results_folder_names_what_is_in_the_way(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(OutputError, match="it is a file, not a folder"):
        check_results_folder(file, overwrite=True)
    with pytest.raises(OutputError, match="a part of the path is a file, not a folder"):
        check_results_folder(file / "below", overwrite=True)
    with pytest.raises(OutputError, match="the file name is too long"):
        check_results_folder(tmp_path / ("x" * 300), overwrite=True)
    assert contents(tmp_path) == {"file": b"mine"}


@pytest.mark.parametrize(
    ("code", "words"), [(errno.EACCES, "permission denied"), (errno.EROFS, "the disk is read-only")]
)
def test_check_results_folder_when_the_system_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "touch", refuse)
        with pytest.raises(OutputError, match=words):
            check_results_folder(tmp_path / "out", overwrite=False)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "exists", refuse)  # a parent folder that must not be looked into
        with pytest.raises(OutputError, match=words):
            check_results_folder(tmp_path / "out", overwrite=False)


# --- writing ----------------------------------------------------------------------------------


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
def test_a_photo_renamed_by_case_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ignores_case: bool
) -> None:
    """Where case does not count, removing the old name would remove the new picture."""
    write(tmp_path, names=["A.jpg", "b.jpg", "c.jpg"])
    monkeypatch.setattr(Path, "samefile", lambda *_: ignores_case)
    write(tmp_path, overwrite=True)
    assert (tmp_path / "aligned" / "a.png").is_file()
    assert (tmp_path / "aligned" / "A.png").is_file() == ignores_case


@pytest.mark.parametrize(
    "document",
    ["", "[]", "{}", '{"frames": [1]}', '{"frames": null}', '{"frames": [{"file": "../../x"}]}'],
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
def test_a_full_disk_loses_no_earlier_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
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
