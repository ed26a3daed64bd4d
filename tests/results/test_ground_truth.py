"""What is known of the original is read, and results are compared with it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diar_ops import Reason, Reconstruction, psnr
from diar_ops._files import write_image
from diar_ops.data import ImageError, Photo
from diar_ops.results import GroundTruth, read_ground_truth, score_against
from tests import photos
from tests.harness import assert_close

EYE = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def write_truth(folder: Path, frames: Any) -> Path:
    """Write a label and a document, but no frame."""
    folder.mkdir(exist_ok=True)
    write_image(folder / "label.png", torch.full((3, 8, 9), 0.2))
    document = {
        "format": "diar_ops sequence",
        "version": 1,
        "label": {"file": "label.png", "size": [8, 9]},
        "frames": frames,
    }
    (folder / "sequence.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


FRAMES = [
    {"file": "0.png", "size": [80, 90], "homography_frame_label": EYE},
    {"file": "1.png", "size": [8, 9], "homography_frame_label": [[1, 0, 5], [0, 1, -0.25], [0, 0, 1]]},
]


def test_read_ground_truth(tmp_path: Path) -> None:
    truth = read_ground_truth(write_truth(tmp_path, FRAMES))
    assert truth.label.shape == (3, 8, 9)
    assert truth.label.dtype == torch.float32
    assert_close(truth.label, torch.full((3, 8, 9), 0.2))
    assert list(truth.homography_frame_label) == ["0.png", "1.png"]
    assert truth.homography_frame_label["1.png"].dtype == torch.float64
    assert truth.homography_frame_label["1.png"][:2, 2].tolist() == [5, -0.25]
    assert truth.frame_size == {"0.png": (80, 90), "1.png": (8, 9)}


def test_a_picture_alone_is_a_truth(tmp_path: Path) -> None:
    write_image(tmp_path / "clean.png", torch.zeros(3, 30, 40), bit_depth=16)
    truth = read_ground_truth(tmp_path / "clean.png")
    assert truth.label.shape == (3, 30, 40)
    assert truth.homography_frame_label == {}


def test_a_damaged_truth_is_named(tmp_path: Path) -> None:
    """Field by field: tests/data/test_sequence_reader.py."""
    with pytest.raises(ImageError, match=r"sequence\.json: frames: expected at least one"):
        read_ground_truth(write_truth(tmp_path / "empty", []))
    folder = write_truth(tmp_path / "turned", FRAMES)
    write_image(folder / "label.png", torch.zeros(3, 9, 8), overwrite=True)
    with pytest.raises(ImageError, match=r"label\.png has 8 x 9 pixels, sequence\.json says 9 x 8"):
        read_ground_truth(folder)


def test_missing_files_of_the_truth_are_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"sequence\.json does not exist"):
        read_ground_truth(tmp_path)
    folder = write_truth(tmp_path / "truth", FRAMES)
    (folder / "label.png").unlink()
    with pytest.raises(ImageError, match=r"label\.png does not exist"):
        read_ground_truth(folder)
    with pytest.raises(ImageError, match=r"none\.png does not exist"):
        read_ground_truth(tmp_path / "none.png")


# --- the comparison ---------------------------------------------------------------------------

SIDE = 96
NAMES = ["front.png", "left.png", "right.png"]


class Scene:
    """Three exact views of one picture, their exact alignment, the perfect reconstruction."""

    def __init__(self, reference: int = 0, side: int = SIDE) -> None:
        self.label = photos.picture("scored", SIDE)
        self.H = np.stack([photos.homography(n.split(".")[0], SIDE) for n in NAMES])
        shrink = np.diag([side / SIDE, side / SIDE, 1.0])
        shrink[:2, 2] = 0.5 * side / SIDE - 0.5
        exact = shrink @ self.H
        views = [photos.view(self.label, H, shape=(side, side)) for H in exact]
        self.photos = [Photo(photos.as_frame(v), n) for v, n in zip(views, NAMES, strict=True)]
        self.alignment = photos.exact_alignment(exact, (side, side), reference=reference)
        image = self.photos[reference].pixels.float() / 255
        self.reconstruction = Reconstruction(
            image, torch.full((1, side, side), 3), torch.full((3, 1, side, side), 1 / 3), torch.ones(3, 3)
        )
        self.truth = GroundTruth(
            torch.from_numpy(self.label).permute(2, 0, 1).float(),
            {n: torch.from_numpy(H) for n, H in zip(NAMES, self.H, strict=True)},
            dict.fromkeys(NAMES, (SIDE, SIDE)),
        )

    def score(self, **changed: Any) -> dict[str, Any]:
        parts = {
            "truth": self.truth,
            "photos": self.photos,
            "alignment": self.alignment,
            "reconstruction": self.reconstruction,
            **changed,
        }
        return score_against(**parts)


@pytest.mark.parametrize("reference", [0, 1, 2])
def test_a_perfect_result_scores_perfectly_whatever_the_reference(reference: int) -> None:
    scores = Scene(reference).score()
    assert scores["corner_error"] == pytest.approx([0, 0, 0], abs=1e-9)
    # Resampling back and forth, and the corners that an oblique view crops, cost some.
    assert scores["psnr"] > (50 if reference == 0 else 32)
    assert scores["ssim"] > (0.99 if reference == 0 else 0.97)
    assert scores["psnr_gain"] >= scores["psnr"] - 1e-3


@pytest.mark.parametrize("reference", [0, 1])
def test_shrunken_photos_are_scored_in_their_own_pixels(reference: int) -> None:
    scores = Scene(reference, side=SIDE // 2).score()
    assert scores["corner_error"] == pytest.approx([0, 0, 0], abs=1e-9)
    assert scores["psnr"] > 20, "misplaced by even a pixel, this picture has less"


def test_a_known_displacement_is_measured() -> None:
    scene = Scene(1)
    moved = scene.alignment.homography_reference_frame.clone()
    shift = torch.tensor([[1, 0, 3], [0, 1, 4], [0, 0, 1]], dtype=torch.float64)
    moved[2] = shift @ moved[2]
    scores = scene.score(alignment=scene.alignment._replace(homography_reference_frame=moved))
    assert scores["corner_error"] == pytest.approx([0, 0, 5], abs=1e-9)


def test_frames_left_out_or_unknown_have_no_error() -> None:
    scene = Scene()
    success = torch.tensor([True, False, True])
    reason = torch.tensor([int(Reason.OK), int(Reason.TOO_FEW), int(Reason.OK)])
    known = {n: H for n, H in scene.truth.homography_frame_label.items() if n != NAMES[2]}
    scores = scene.score(
        alignment=scene.alignment._replace(success=success, reason=reason), truth=GroundTruth(scene.truth.label, known)
    )
    assert scores["corner_error"][0] == pytest.approx(0, abs=1e-9)
    assert all(math.isnan(error) for error in scores["corner_error"][1:])


def test_a_colour_cast_costs_psnr_but_not_psnr_gain() -> None:
    scene = Scene()
    cast = scene.reconstruction.image * torch.tensor([0.7, 0.9, 1.0]).view(3, 1, 1)
    scores = scene.score(reconstruction=scene.reconstruction._replace(image=cast))
    assert scores["psnr"] < 25
    assert scores["psnr_gain"] > 45


def test_what_no_photo_shows_is_not_compared() -> None:
    scene = Scene()
    image, coverage = scene.reconstruction.image.clone(), scene.reconstruction.coverage.clone()
    image[:, :30], coverage[:, :30] = 0, 0
    scores = scene.score(reconstruction=scene.reconstruction._replace(image=image, coverage=coverage))
    assert scores["psnr"] > 50


def test_a_picture_alone_is_compared_in_the_reference() -> None:
    scene = Scene()
    scores = scene.score(truth=GroundTruth(scene.truth.label, {}))
    assert "corner_error" not in scores
    expected = psnr(scene.reconstruction.image[None], scene.truth.label[None])
    assert scores["psnr"] == pytest.approx(float(expected))


def test_a_picture_alone_is_shrunk_with_the_photos() -> None:
    scene = Scene(side=SIDE // 2)
    scores = scene.score(truth=GroundTruth(scene.truth.label, {}))
    assert scores["psnr"] > 20


def test_contradictions_are_errors() -> None:
    scene = Scene()
    wide: Tensor = torch.zeros(3, SIDE, SIDE + 1)
    with pytest.raises(ImageError, match=r"has 97 x 96 pixels, the reference photo 96 x 96"):
        scene.score(truth=GroundTruth(wide, {}))
    with pytest.raises(ImageError, match=r"has 48 x 48 pixels, the reference photo 96 x 96"):
        scene.score(truth=GroundTruth(wide[:, ::2, ::2][:, :48, :48], {}))
    with pytest.raises(ImageError, match=r"does not know the reference photo front\.png"):
        scene.score(truth=GroundTruth(scene.truth.label, {"x.png": torch.eye(3).double()}))
