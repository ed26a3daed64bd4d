"""A sequence.json is checked field by field, and one sentence names what is wrong."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diar_ops.data import ImageError, check_sequence_document, format_document, is_sequence, read_sequence
from tests.harness import assert_close
from tests.sequences import write_sequence

EYE = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]


def minimal() -> dict[str, Any]:
    """What other people's data must have at least."""
    frames = [{"file": f"{n}.png", "size": [8, 9], "homography_frame_label": EYE} for n in "ab"]
    label = {"file": "label.png", "size": [8, 9]}
    return {"format": "diar_ops sequence", "version": 1, "label": label, "frames": frames}


def test_reading_what_was_written(tmp_path: Path) -> None:
    document = write_sequence(tmp_path / "a", kind="misaligned")
    sequence = read_sequence(tmp_path / "a")
    assert sequence.folder == tmp_path / "a"
    assert sequence.kind == "misaligned"
    assert sequence.label == tmp_path / "a" / "label.png"
    assert sequence.label_size == (48, 64)
    assert sequence.document == document
    frame = sequence.frames[3]
    assert frame.path == tmp_path / "a" / "03.png"
    assert frame.flags == tmp_path / "a" / "masks" / "03_flags.png"
    assert frame.size == (48, 64)
    H = frame.homography_frame_label
    assert H.dtype == torch.float64
    assert H.tolist() == document["frames"][3]["homography_frame_label"]


def test_a_minimal_document_is_enough() -> None:
    sequence = check_sequence_document(minimal())
    assert sequence.kind is None
    assert [frame.path.name for frame in sequence.frames] == ["a.png", "b.png"]
    assert sequence.frames[0].occluded is None
    assert sequence.frames[0].flags is None


def test_any_scale_of_a_homography_is_read() -> None:
    document = minimal()
    matrix = np.array([[1.1, 0.1, 3.0], [0.0, 0.9, -2.0], [1e-4, 2e-4, 1.0]])
    document["frames"][0]["homography_frame_label"] = (-2 * matrix).tolist()
    document["frames"][0]["homography_label_frame"] = np.linalg.inv(matrix).tolist()
    assert_close(check_sequence_document(document).frames[0].homography_frame_label, torch.from_numpy(-2 * matrix))


def change(*path: str | int, to: Any = None) -> Callable[[dict[str, Any]], None]:
    """Return what sets a field, or removes it."""

    def apply(document: Any) -> None:
        for key in path[:-1]:
            document = document[key]
        if to is None:
            del document[path[-1]]
        else:
            document[path[-1]] = to

    return apply


NAN = float("nan")
INSIDE = "a file inside the sequence's folder"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (change("format"), 'format: expected "diar_ops sequence", got nothing'),
        (change("format", to="other"), 'format: expected "diar_ops sequence", got "other"'),
        (change("version"), "version: expected 1 or 2, got nothing"),
        (change("version", to="1"), 'version: expected 1 or 2, got "1"'),
        (change("version", to=0), "version: expected 1 or 2, got 0"),
        (change("version", to=True), "version: expected 1 or 2, got true"),
        (change("kind", to="tilted"), 'kind: expected "aligned" or "misaligned", got "tilted"'),
        (change("label"), "label: expected an object, got nothing"),
        (change("label", to="label.png"), 'label: expected an object, got "label.png"'),
        (change("label", "file"), f"label.file: expected {INSIDE}, got nothing"),
        (change("label", "size", to=[8, 0]), "label.size: expected [height, width] in pixels"),
        (change("label", "size", to=[8, 10**400]), "label.size: expected [height, width]"),
        (change("label", "size", to=[8.0, 9.0]), "label.size: expected [height, width]"),
        (change("frames"), "frames: expected a list, got nothing"),
        (change("frames", to={}), "frames: expected a list, got {}"),
        (change("frames", to=[]), "frames: expected at least one, got []"),
        (change("frames", 1, to=[1]), "frames[1]: expected an object, got [1]"),
        (change("frames", 1, "file"), "frames[1].file: expected a file inside"),
        (change("frames", 1, "file", to=3), "frames[1].file: expected a file inside"),
        (change("frames", 1, "file", to=""), "frames[1].file: expected a file inside"),
        (change("frames", 1, "file", to="../b.png"), "frames[1].file: expected a file inside"),
        (change("frames", 1, "file", to="/b.png"), "frames[1].file: expected a file inside"),
        (change("frames", 1, "file", to="C:\\b.png"), "frames[1].file: expected a file inside"),
        (change("frames", 1, "file", to="\0"), "frames[1].file: expected a file inside"),
        (change("frames", 1, "file", to="a.png"), "frames[1].file: expected a file of its own"),
        (change("frames", 1, "file", to="label.png"), "frames[1].file: expected a file of its o"),
        (change("frames", 1, "size"), "frames[1].size: expected [height, width] in pixels, got n"),
        (change("frames", 1, "size", to=[1]), "frames[1].size: expected [height, width]"),
        (change("frames", 1, "size", to="big"), "frames[1].size: expected [height, width]"),
        (change("frames", 0, "occluded", to=5), "frames[0].occluded: expected a file inside"),
        (change("frames", 0, "flags", to="../m.png"), "frames[0].flags: expected a file inside"),
        *(
            (
                change("frames", 1, "homography_frame_label", to=value),
                "frames[1].homography_frame_label: expected a 3 x 3 matrix of finite numbers, got",
            )
            for value in (
                [],
                [1] * 9,
                [[1, 2], [3, 4]],
                [[1, 2], [3]],
                "eye",
                10**400,
                [[1, 0, 0], [0, NAN, 0], [0, 0, 1]],
                [[1, 0, 0], [0, None, 0], [0, 0, 1]],
            )
        ),
        (
            change("frames", 1, "homography_frame_label"),
            "frames[1].homography_frame_label: expected a 3 x 3 matrix of finite numbers, got no",
        ),
        (
            change("frames", 1, "homography_frame_label", to=[[1, 0, 0], [0, 0, 0], [0, 0, 1]]),
            "frames[1].homography_frame_label: expected a matrix that can be inverted",
        ),
        (
            change("frames", 1, "homography_frame_label", to=[[0, 0, 0]] * 3),
            "frames[1].homography_frame_label: expected a matrix that can be inverted",
        ),
        (
            change("frames", 1, "homography_label_frame", to=[[1, 0, 0.5], [0, 1, 0], [0, 0, 1]]),
            "frames[1].homography_label_frame is not the inverse of homography_frame_label: the "
            "label's corners come back 0.5 px off",
        ),
        (
            change("frames", 1, "homography_label_frame", to="eye"),
            "frames[1].homography_label_frame: expected a 3 x 3 matrix",
        ),
    ],
)
def test_one_sentence_names_the_field(damage: Callable[[Any], None], words: str) -> None:
    document = copy.deepcopy(minimal())
    damage(document)
    with pytest.raises(ImageError) as caught:
        check_sequence_document(document, "some/sequence.json")
    message = str(caught.value)
    assert message.startswith(("some/sequence.json: ", "some\\sequence.json: "))
    assert words in message
    assert "\n" not in message
    assert len(message) < 200


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
NAMES = st.text(max_size=6)
ANYTHING = st.recursive(
    PLAIN | st.sampled_from([10**400, "a.png", -(2**63), [1, 2], "\ud800"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100)
@given(data=st.data())
def test_whatever_it_says_it_is_read_or_named(data: st.DataObject) -> None:
    """Anything may be anywhere: never another error than the one that names the field."""
    document = json.loads(format_document(minimal()))
    document["frames"][0].update(occluded="m.png", homography_label_frame=EYE)
    for _ in range(data.draw(st.integers(1, 3))):
        place: Any = document
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = data.draw(st.sampled_from(keys))
            inner = place[key]
            if not (isinstance(inner, (dict, list)) and inner) or data.draw(st.booleans()):
                break
            place = inner
        place[key] = data.draw(ANYTHING)
    message = ""
    try:
        check_sequence_document(document)
    except ImageError as error:
        message = str(error)
    assert "\n" not in message
    assert len(message) < 250


@pytest.mark.parametrize("document", [None, 3, "text", []])
def test_what_is_no_object_is_no_sequence(document: Any) -> None:
    with pytest.raises(ImageError, match='expected "diar_ops sequence"'):
        check_sequence_document(document)


def test_a_newer_version_asks_for_an_update(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    (folder / "sequence.json").write_text(json.dumps({**minimal(), "version": 3, "frames": "?"}))
    assert is_sequence(folder)
    with pytest.raises(ImageError) as caught:
        read_sequence(folder)
    assert str(caught.value) == (
        f"{folder / 'sequence.json'} is version 3 of the format, this diar_ops reads versions 1 and 2; update diar_ops"
    )


@pytest.mark.parametrize("name", ["02.png", "label.png", "masks/01_flags.png"])
def test_missing_files_are_named(tmp_path: Path, name: str) -> None:
    write_sequence(tmp_path / "a")
    (tmp_path / "a" / name).unlink()
    with pytest.raises(ImageError, match=rf"sequence\.json names {name}, which does not exist"):
        read_sequence(tmp_path / "a")


def test_names_that_no_file_can_have_are_missing_files(tmp_path: Path) -> None:
    document = write_sequence(tmp_path / "a")
    document["label"]["file"] = "a" * 300
    (tmp_path / "a" / "sequence.json").write_text(json.dumps(document))
    with pytest.raises(ImageError, match=r"names aaa.*, which does not exist"):
        read_sequence(tmp_path / "a")


@pytest.mark.parametrize("text", ["", "{", "not json", "\x00", "[" * 100_000])
def test_what_is_no_json_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "sequence.json").write_text(text)
    assert not is_sequence(tmp_path)
    with pytest.raises(ImageError, match=r"sequence\.json is not JSON"):
        read_sequence(tmp_path)


def test_bytes_that_are_no_text_are_no_json(tmp_path: Path) -> None:
    (tmp_path / "sequence.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(ImageError, match=r"sequence\.json is not JSON"):
        read_sequence(tmp_path)


def test_a_folder_without_document_is_no_sequence(tmp_path: Path) -> None:
    assert not is_sequence(tmp_path)
    with pytest.raises(ImageError, match=r"is not a sequence: .*sequence\.json does not exist"):
        read_sequence(tmp_path)
    (tmp_path / "sequence.json").write_text('{"frames": []}')
    assert not is_sequence(tmp_path), "somebody else's"
