"""What sequence.json says is exact, complete, and text for people."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from diar_ops.data import format_document, frame_names, sequence_document
from diar_ops.scene import PlanarScene, sample_planar_scene, scene_from_document, scene_homography
from tests.harness import assert_close, generator

EYE = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]


def scene(kind: str = "misaligned", frames: int = 3) -> PlanarScene:
    return sample_planar_scene(
        2, frames=frames, size=(40, 60), picture_size=(5, 9), kind=kind, generator=generator(f"document-{kind}")
    )


def described(kind: str = "misaligned", **options: Any) -> dict[str, Any]:
    return sequence_document(
        scene(kind),
        1,
        kind=kind,
        index=7,
        seed=11,
        texture={"file": "a.jpg", "size": [500, 900]},
        software={"bpy": "4.5"},
        render={"engine": "CYCLES", "samples": 16},
        **options,
    )


def test_the_homographies_are_those_of_the_scene() -> None:
    document = json.loads(format_document(described()))
    expected = scene_homography(scene())[1]
    assert len(document["frames"]) == 3
    for entry, H in zip(document["frames"], expected, strict=True):
        forth = torch.tensor(entry["homography_frame_label"], dtype=torch.float64)
        back = torch.tensor(entry["homography_label_frame"], dtype=torch.float64)
        assert_close(forth, H, rtol=1e-11, atol=1e-12)
        product = forth @ back
        assert_close(product / product[2, 2], torch.eye(3).double(), atol=1e-8, rtol=0)
        assert forth[2, 2] == back[2, 2] == 1
    assert document["frames"][0]["homography_frame_label"] == EYE
    assert "-0.0" not in format_document({"frames": document["frames"][0]["homography_label_frame"]})


def test_every_homography_of_an_aligned_sequence_is_the_identity() -> None:
    for entry in described("aligned")["frames"]:
        assert entry["homography_frame_label"] == entry["homography_label_frame"] == EYE


def test_the_document_says_everything_once() -> None:
    shares = [{"visible": 1.0, "occluded": 0.25 * t} for t in range(3)]
    document = described(shares=shares, words={"note": "a note"})
    assert {key: document[key] for key in ("format", "version", "kind", "index", "seed")} == {
        "format": "diar_ops sequence",
        "version": 1,
        "kind": "misaligned",
        "index": 7,
        "seed": 11,
    }
    assert document["note"] == "a note"
    assert document["texture"]["size"] == [500, 900]
    assert document["label"] == {"file": "label.png", "size": [40, 60]}
    assert document["render"] == {"engine": "CYCLES", "samples": 16}
    assert [entry["file"] for entry in document["frames"]] == ["00.png", "01.png", "02.png"]
    assert document["frames"][2]["occluded"] == "masks/02_occluded.png"
    assert document["frames"][2]["flags"] == "masks/02_flags.png"
    assert [entry["shares"] for entry in document["frames"]] == shares
    bare = described(masks=())["frames"][0]
    assert not {"occluded", "flags", "shares"} & bare.keys()


def test_the_scene_is_read_back_from_the_document() -> None:
    document = json.loads(format_document(described()))
    again, original = scene_from_document(document), scene()
    for name in ("K", "R", "t", "ambient"):
        assert_close(getattr(again, name)[0], getattr(original, name)[1], rtol=1e-9, atol=1e-10)
    assert again.size == original.size


def test_the_text_is_json_for_people() -> None:
    document = {
        "a": 1,
        "numbers": [1, 2.5],
        "matrix": [[1.0, 0.0], [0.0, 1e-9]],
        "none": None,
        "empty": {},
        "list": [],
        "objects": [{"b": "ß [ ]"}, {}],
        "yes": True,
    }
    text = format_document(document)
    assert json.loads(text) == document
    assert '\n "numbers": [1, 2.5],\n' in text
    assert "\n  [1.0, 0.0],\n" in text
    with pytest.raises(ValueError, match="not JSON compliant"):
        format_document({"a": float("nan")})


def test_names_of_frames_sort_by_number() -> None:
    assert frame_names(1)[0].file == "00.png"
    assert frame_names(100)[99].flags == "masks/99_flags.png"
    assert frame_names(101)[0].occluded == "masks/000_occluded.png"
    names = [names.file for names in frame_names(1001)]
    assert names == sorted(names)
