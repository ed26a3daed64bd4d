"""The plane of the picture, and how cameras see it."""

from __future__ import annotations

import torch

from diar_ops import transform_points
from diar_ops.scene import PlanarScene, picture_plane, scene_homography
from tests.harness import assert_close, generator
from tests.scene.sample.checks import real


def test_pixels_of_the_picture_lie_where_its_plane_says() -> None:
    plane = picture_plane(real([0.5, 1.0]), (10, 40))
    pixel = real([[0, 0, 1], [39, 9, 1], [19.5, 4.5, 1]])
    assert_close(pixel @ plane.T, real([[-0.4875, -0.225, 0], [0.4875, 0.225, 0], [0, 0, 0]]))


def test_the_homography_is_what_the_camera_sees(scene: PlanarScene) -> None:
    pixels = torch.rand(50, 2, generator=generator("pixels")).double() * torch.tensor(scene.size[::-1])
    plane = picture_plane(scene.picture_size, scene.size)
    world = torch.nn.functional.pad(pixels, (0, 1), value=1) @ plane.mT
    seen = (world[:, None] @ scene.R.mT + scene.t[:, :, None]) @ scene.K.mT
    projected = transform_points(pixels, scene_homography(scene)).points
    assert_close(projected, seen[..., :2] / seen[..., 2:], atol=1e-8)
