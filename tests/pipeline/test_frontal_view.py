"""frontal_view: which way a plane lies, from photos of it; mosaics that show it frontally."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.quality.frontal import measure_normals
from diar_ops import Alignment, OptionError, homography_from_camera, transform_points, warp_homography
from diar_ops._files import write_image
from diar_ops.pipeline import frontal_view
from diar_ops.results import CleanOptions, Listener, clean_photos
from tests.geometry.refine_scene import texture
from tests.harness import generator

SIZE = (150, 200)


def test_normals_of_rendered_scenes_are_found_and_doubts_are_said() -> None:
    """Ten photos, each with a focal length that nobody told, homographies off by a third of a pixel."""
    off, sigma = measure_normals(10, 40, generator=generator("frontal scenes"))
    sure = sigma < 1.5
    assert sure.float().mean() > 0.75
    assert off[sure].median() < 0.5
    assert off[sure].max() < 2.5
    assert ((off < 5 * sigma) | (off < 1)).all()


def tilted_photos() -> tuple[list[Tensor], Tensor]:
    """Return photos of parts of a picture by a camera that turns, the first tilted by 20 degrees, and H to them."""
    picture = texture("frontal picture", 1, 3, 300, 420)
    middle = torch.tensor([[1, 0, -209.5], [0, 1, -149.5], [0, 0, 1.0]]).double()
    K = torch.tensor([[240.0, 0, (SIZE[1] - 1) / 2], [0, 240, (SIZE[0] - 1) / 2], [0, 0, 1]]).double()
    homographies = []
    for x, y, turn, pitch, roll in (
        (0, 0, 0.35, 0.0, 0.0), (-60, -30, 0.1, 0.25, 0.05), (60, 30, -0.2, 0.1, -0.05),
        (-40, 40, 0.15, -0.3, 0.1), (70, -30, 0.45, 0.15, 0.0), (-80, 10, -0.1, 0.0, -0.1),
    ):  # fmt: skip
        angles = torch.tensor([pitch, turn, roll]).double()
        R = torch.linalg.matrix_exp(
            torch.stack([torch.linalg.cross(angles, axis) for axis in torch.eye(3).double()], 1)
        )
        # The camera looks at (x, y) of the picture from a distance of 330.
        t = torch.tensor([0.0, 0, 330]).double() - R @ torch.tensor([x, y, 0]).double()
        homographies.append(homography_from_camera(K, R, t) @ middle)
    H = torch.stack(homographies)
    photos = warp_homography(picture.expand(6, -1, -1, -1), H.to(picture), size=SIZE, mode="bicubic").image
    return [photo.float().clamp(0, 1) for photo in photos], H


class Said(Listener):
    def __init__(self) -> None:
        self.sentences: list[str] = []

    def info(self, sentence: str) -> None:
        self.sentences.append(sentence)


def test_a_mosaic_shows_the_plane_frontally(tmp_path: Path) -> None:
    photos, H = tilted_photos()
    for t, photo in enumerate(photos):
        write_image(tmp_path / "photos" / f"{t}.png", photo)
    said = Said()
    options = CleanOptions(aggregator="mean", canvas="all", reference="0.png")
    result = clean_photos([tmp_path / "photos"], tmp_path / "out", options, listener=said)
    assert result.alignment.success.all()
    assert any("frontally; the reference is tilted by 2" in sentence for sentence in said.sentences)
    assert result.canvas is not None
    M = result.canvas.homography_canvas_reference @ H[0]  # of the picture
    square = torch.tensor([[150.0, 90], [270, 90], [270, 210], [150, 210]]).double()
    seen = transform_points(square, M).points
    sides = (seen.roll(-1, 0) - seen).norm(dim=-1)
    assert sides.max() / sides.min() < 1.02
    diagonals = (seen[:2] - seen[2:]).norm(dim=-1)
    assert diagonals.max() / diagonals.min() < 1.02


def test_wrong_numbers_of_sizes_are_refused() -> None:
    alignment = Alignment.from_homographies(torch.eye(3).repeat(2, 1, 1), [(64, 64)] * 2)
    with pytest.raises(OptionError, match="2 sizes"):
        frontal_view(alignment, [(64, 64)])
