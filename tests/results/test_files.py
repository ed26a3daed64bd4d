"""Every output name distinct, every number kept, nobody's files in the way."""

from __future__ import annotations

import errno
import json
import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from diar_ops import OutputError
from diar_ops.results.files import check_results_folder, homographies_document, output_names
from tests.results.small_results import NAMES, alignment, contents, listing


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
    assert list(document) == ["reference", "size", "distortion", "canvas", "frames"]
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
            "bend": None,
        },
        {
            "file": "b.jpg",
            "success": True,
            "reason": "OK",
            "inliers": 41,
            "overlap": 0.333333,
            "homography_reference_frame": [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
            "bend": None,
        },
        {
            "file": "c.jpg",
            "success": False,
            "reason": "CHANCE_LEVEL",
            "inliers": 42,
            "overlap": 0.0,
            "homography_reference_frame": None,
            "bend": None,
        },
    ]


def test_homographies_keep_all_their_digits() -> None:
    given_alignment = alignment((True, True))
    exact = 0.1 + 2**-52
    given_alignment.homography_reference_frame[1, 2, 0] = exact
    text = json.dumps(homographies_document(NAMES[:2], given_alignment))
    assert json.loads(text)["frames"][1]["homography_reference_frame"][2][0] == exact


def test_check_results_folder_creates_it_and_leaves_no_trace(tmp_path: Path) -> None:
    folder = check_results_folder(str(tmp_path / "new" / "out"), overwrite=False)
    assert folder == tmp_path / "new" / "out"
    assert folder.is_dir()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["clean.png", "homographies.json", "report.html", "aligned/", "weights/"])
def test_check_results_folder_refuses_earlier_results(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.mkdir() if name.endswith("/") else path.write_bytes(b"mine")
    with pytest.raises(OutputError, match=rf"already holds results \({path.name}\); choose another"):
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
