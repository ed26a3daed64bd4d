"""The bundled sequence is complete, and its ground truth follows the library's pixel convention."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from diar_ops.data import SequenceDataset, list_images, read_image, read_sequence


@pytest.fixture(scope="module")
def truth(demo_folder: Path) -> dict[str, Any]:
    return json.loads((demo_folder / "sequence.json").read_text(encoding="utf-8"))


def project(homography: np.ndarray, points: np.ndarray) -> np.ndarray:
    lifted = np.column_stack((points, np.ones(len(points)))) @ np.asarray(homography).T
    return lifted[:, :2] / lifted[:, 2:]


def test_the_label_is_not_among_the_photos(demo_folder: Path, truth: dict[str, Any]) -> None:
    listed = [path.name for path in list_images(demo_folder)]
    assert listed == [f"{i:02d}.png" for i in range(10)]
    assert listed == [frame["file"] for frame in truth["frames"]]
    for name, size in [
        (truth["label"]["file"], truth["label"]["size"]),
        *((frame["file"], frame["size"]) for frame in truth["frames"]),
    ]:
        photo = read_image(demo_folder / name)
        assert photo.size == tuple(size)
        assert photo.bit_depth == 8


def test_it_is_a_sequence_of_the_documented_format(demo_folder: Path) -> None:
    sequence = read_sequence(demo_folder)
    assert sequence.kind == "misaligned"
    assert len(sequence.frames) == 10
    item = SequenceDataset(demo_folder, frames=2, crop=(128, 96))[0]
    assert item["frames"].shape == (2, 3, 128, 96)


def test_both_directions_agree(truth: dict[str, Any]) -> None:
    for frame in truth["frames"]:
        forth = np.array(frame["homography_frame_label"])
        back = np.array(frame["homography_label_frame"])
        assert forth[2, 2] == back[2, 2] == 1
        product = forth @ back
        # entries are stored with twelve digits
        np.testing.assert_allclose(product / product[2, 2], np.eye(3), atol=1e-8)
    np.testing.assert_array_equal(truth["frames"][0]["homography_frame_label"], np.eye(3))


#: Where the renderer puts the outer corners (0, 0), (512, 0), (512, 512), (0, 512) of the label,
#: in its own CONTINUOUS pixels, whose origin is the outer corner of the image.
CONTINUOUS_CORNERS = {
    1: [[-91.388804, 60.199335], [385.891688, -10.10223], [499.346601, 447.255622], [52.488283, 622.043583]],
    4: [[-90.935216, 63.388971], [369.213721, 7.116238], [529.224025, 461.136227], [108.345281, 685.209992]],
    9: [[-44.016009, 90.854065], [410.71957, -1.740965], [495.532032, 418.315983], [80.505447, 544.3405]],
}


@pytest.mark.parametrize("index", CONTINUOUS_CORNERS)
def test_half_pixel_shift(truth: dict[str, Any], index: int) -> None:
    """H here = S(-1/2) H_continuous S(+1/2): the outer corner of the label is (-0.5, -0.5)."""
    label = np.array([[0, 0], [512, 0], [512, 512], [0, 512]]) - 0.5
    projected = project(truth["frames"][index]["homography_frame_label"], label)
    np.testing.assert_allclose(projected, np.array(CONTINUOUS_CORNERS[index]) - 0.5, atol=1e-6)


def test_the_pixels_agree_with_the_shift(demo_folder: Path, truth: dict[str, Any]) -> None:
    """The photos themselves fit better with these homographies than with unshifted ones."""

    def grey(name: str) -> np.ndarray:
        return cv2.cvtColor(cv2.imread(str(demo_folder / name)), cv2.COLOR_BGR2GRAY)

    def detail(image: np.ndarray) -> np.ndarray:
        """High-pass sign: what light and shadow leave alone."""
        image = image.astype(np.float32)
        return np.sign(image - cv2.GaussianBlur(image, (0, 0), 1.5))

    label = detail(grey(truth["label"]["file"]))
    shift = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    scores = []
    for frame in truth["frames"][1:]:
        ours = np.array(frame["homography_frame_label"])
        continuous = shift @ ours @ np.linalg.inv(shift)
        scores.append(
            [
                (
                    detail(
                        cv2.warpPerspective(
                            grey(frame["file"]), homography, (512, 512), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
                        )
                    )
                    * label
                ).mean()
                for homography in (ours, continuous)
            ]
        )
    assert all(ours > continuous for ours, continuous in scores)
