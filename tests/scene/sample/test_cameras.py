"""Cameras are sampled as SceneRanges says, and see what they must."""

from __future__ import annotations

import pytest
import torch

from diar_ops import OptionError, transform_points
from diar_ops.scene import PlanarScene, SceneRanges, sample_planar_scene, scene_homography
from tests.harness import assert_close, generator
from tests.scene.sample.checks import RANGES, SHAPES, assert_within, in_view, real


def test_free_cameras(scene: PlanarScene) -> None:
    free = scene.R[:, 1:]
    assert_within(torch.acos(free[..., 2, 2]).rad2deg(), RANGES.tilt)
    corners = real([[0, 0], [1, 0], [1, 1], [0, 1]])
    height, width = scene.size
    outer = corners * torch.tensor([width, height]) - 0.5
    x, y = transform_points(outer, scene_homography(scene)[:, 1:]).points.unbind(-1)
    area = (x * y.roll(-1, -1) - y * x.roll(-1, -1)).sum(dim=-1).abs() / 2
    assert_within((area / (height * width)).sqrt(), RANGES.fill, used=0.7)


def test_free_cameras_see_enough(scene: PlanarScene) -> None:
    steps = (torch.arange(40) + 0.5).double() / 40 - 0.5
    grid = torch.cartesian_prod(steps, steps)
    flat = grid * scene.picture_size.flip(-1)[:, None]
    points = torch.nn.functional.pad(flat, (0, 1))[:, None].expand(-1, scene.K.shape[1], -1, -1)
    visible = in_view(scene, points).double().mean(dim=-1)
    assert (visible[:, 0] == 1).all()
    assert (visible >= RANGES.visible).all()
    assert visible[:, 1:].mean() < 0.97, "many do not see all"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["aligned", "misaligned"])
def test_aligned_cameras_see_exactly_the_picture(shape: str, kind: str) -> None:
    size, picture_size = SHAPES[shape]
    scene = sample_planar_scene(
        3, frames=4, size=size, picture_size=picture_size, kind=kind, generator=generator("aligned")
    )
    still = slice(None) if kind == "aligned" else slice(1)
    H = scene_homography(scene)[:, still]
    assert_close(H, torch.eye(3).double().expand_as(H), atol=1e-11, rtol=0)
    # Without a homography: the corners of the picture are the corners of the frame.
    height, width = scene.picture_size[0].tolist()
    assert max(height, width) == 1
    assert height / width == pytest.approx(picture_size[0] / picture_size[1])
    for sx, sy in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        corner = real([sx * width / 2, sy * height / 2, 0])
        x, y, w = (scene.K @ (scene.R @ corner + scene.t)[..., None])[:, still, :, 0].unbind(-1)
        assert_close(x / w, torch.full_like(x, (sx + 1) / 2 * size[1] - 0.5))
        assert_close(y / w, torch.full_like(y, (sy + 1) / 2 * size[0] - 0.5))
    if kind == "misaligned":
        others = scene_homography(scene)[:, 1:]
        assert ((others - torch.eye(3)).abs().amax(dim=(-2, -1)) > 1e-3).all()


def test_all_of_the_picture_is_ahead_of_the_nearest_camera_at_the_steepest_tilt() -> None:
    ranges = SceneRanges(distance=(0.91, 0.91), tilt=(80.0, 80.0))
    scene = sample_planar_scene(300, frames=6, generator=generator("near"), ranges=ranges)
    corner = torch.tensor([[x, y, 0.0] for x in (-0.5, 0.5) for y in (-0.5, 0.5)]).double()
    depth = (corner @ scene.R.mT + scene.t[..., None, :])[..., 2]
    assert 0 < depth.min() < 0.1
    with pytest.raises(OptionError, match=r"distance: expected above 0\.91"):
        SceneRanges(distance=(0.9, 0.91), tilt=(80.0, 80.0))
