"""warp_homography(grid=): displacements by a B-spline, exact where there are none."""

from __future__ import annotations

import pytest
import torch

from diar_ops import OptionError, ShapeError, transform_points, warp_homography
from diar_ops.geometry._spline import DisplacementGrid
from tests.geometry.warp_scene import NAN, TILTED, noise, smooth
from tests.harness import assert_close

SIZE = (20, 24)


def ramp(rows: int, columns: int, size: tuple[int, int]) -> torch.Tensor:
    """A grid whose displacement is 0.1 times the position: splines keep straight lines."""
    y, x = (
        ((torch.arange(n + 3, dtype=torch.float64) - 1) * side / n - 0.5) * 0.1
        for n, side in zip((rows, columns), size, strict=True)
    )
    return torch.stack((x.expand(rows + 3, -1), y[:, None].expand(-1, columns + 3)))[None]


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "nearest"])
def test_zeros_change_no_bit(mode: str) -> None:
    image = noise("grid zeros", 2, 3, *SIZE).float()
    plain = warp_homography(image, TILTED.float(), mode=mode)
    zeros = warp_homography(image, TILTED.float(), mode=mode, grid=torch.zeros(1, 2, 5, 6))
    assert torch.equal(plain.image, zeros.image)
    assert torch.equal(plain.valid, zeros.valid)


def test_constant_grid_is_a_shift() -> None:
    image = smooth("grid picture", 1, 2, *SIZE)
    eye, right = torch.eye(3, dtype=torch.float64)[None], torch.eye(3, dtype=torch.float64)[None].clone()
    right[0, 0, 2] = 3.0
    grid = torch.zeros(1, 2, 6, 5, dtype=torch.float64)
    grid[:, 0] = -3.0  # shows what lies 3 pixels to the left
    moved, shifted = warp_homography(image, eye, grid=grid), warp_homography(image, right)
    assert torch.equal(moved.valid, shifted.valid)
    assert_close(moved.image, shifted.image)


def test_straight_grid_is_a_scale() -> None:
    image = smooth("grid picture", 1, 1, *SIZE)
    eye = torch.eye(3, dtype=torch.float64)[None]
    larger = torch.diag(torch.tensor([1 / 1.1, 1 / 1.1, 1.0], dtype=torch.float64))[None]
    moved = warp_homography(image, eye, grid=ramp(4, 3, SIZE), antialias=False)
    expected = warp_homography(image, larger, size=SIZE, antialias=False)
    inner = (..., slice(1, -1), slice(1, -1))  # beyond the grid, the value at its end holds
    assert torch.equal(moved.valid[inner], expected.valid[inner])
    assert_close(moved.image[inner], expected.image[inner])


def test_window_of_a_grid_is_that_of_the_whole() -> None:
    image = smooth("grid picture", 1, 3, *SIZE)
    grid = noise("grid window", 1, 2, 7, 8)
    whole = warp_homography(image, TILTED[:1], grid=grid)
    top, left = 6, 9
    shift = torch.tensor([[1.0, 0, -left], [0, 1, -top], [0, 0, 1]], dtype=torch.float64)
    part = warp_homography(image, shift @ TILTED[:1], size=(8, 10), grid=grid, grid_size=SIZE, grid_offset=(left, top))
    window = (..., slice(top, top + 8), slice(left, left + 10))
    assert torch.equal(part.valid, whole.valid[window])
    assert_close(part.image, whole.image[window])


def test_grid_in_the_plane_of_the_output_is_the_plain_one() -> None:
    image, grid = smooth("grid picture", 1, 3, *SIZE), noise("grid window", 1, 2, 7, 8)
    plain = warp_homography(image, TILTED[:1], grid=grid, grid_offset=(3.0, 2.0))
    eye = -2 * torch.eye(3, dtype=torch.float64)[None]  # neither scale nor sign matter
    other = warp_homography(image, TILTED[:1], grid=grid, grid_offset=(3.0, 2.0), homography_grid_dst=eye)
    assert torch.equal(plain.valid, other.valid)
    assert_close(other.image, plain.image)


def test_grid_in_another_plane_displaces_there() -> None:
    y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in SIZE), indexing="ij")
    positions = torch.stack((x, y))[None]  # the picture's values say where they were sampled
    grid = 0.5 * noise("grid plane", 1, 2, 7, 8)
    homography_grid_dst = torch.tensor([[[0.9, 0.1, -1.0], [-0.05, 1.1, 2.0], [0.004, -0.003, 1.0]]]).double()
    there = transform_points(torch.stack((x, y), -1).flatten(0, 1)[None], homography_grid_dst).points
    grid_of = DisplacementGrid(grid, SIZE)
    displaced = there + torch.cat([grid_of.at(p[1:], p[:1]).flatten(1) for p in there[0]])[None]
    expected = transform_points(displaced, torch.linalg.inv(TILTED[:1])).points
    H = torch.linalg.inv(homography_grid_dst) @ TILTED[:1]
    warped = warp_homography(positions, H, grid=grid, homography_grid_dst=homography_grid_dst, antialias=False)
    assert warped.valid.double().mean() > 0.3
    found = warped.image[0].flatten(1).mT[None]
    inner = warped.valid.flatten() & ((expected > 0) & (expected < torch.tensor(SIZE).flip(0) - 1)).all(-1)[0]
    assert_close(found[:, inner], expected[:, inner])
    assert_close(grid_of.at_points(there[..., 0, None], there[..., 1, None])[..., 0], (displaced - there).mT)


def test_singular_plane_invalidates_its_item_alone() -> None:
    image, grid = noise("grid nan", 1, 2, *SIZE), torch.zeros(1, 2, 5, 5, dtype=torch.float64)
    planes = torch.stack((torch.eye(3), torch.zeros(3, 3), torch.full((3, 3), NAN))).double()
    warped = warp_homography(image, planes[:1], grid=grid, homography_grid_dst=planes)
    assert warped.valid.flatten(1).any(1).tolist() == [True, False, False]
    assert warped.image.isfinite().all()


def test_lens_comes_after_the_grid() -> None:
    image = smooth("grid picture", 1, 1, *SIZE)
    eye = torch.eye(3, dtype=torch.float64)[None]
    right = eye.clone()
    right[0, 0, 2] = 2.0
    k = torch.tensor([-0.05], dtype=torch.float64)
    grid = torch.zeros(1, 2, 5, 5, dtype=torch.float64)
    grid[:, 0] = -2.0
    moved = warp_homography(image, eye, grid=grid, distortion=k)
    shifted = warp_homography(image, right, distortion=k)
    assert torch.equal(moved.valid, shifted.valid)
    assert_close(moved.image, shifted.image)


def test_nan_grid_invalidates_its_item_alone() -> None:
    image = noise("grid nan", 1, 2, *SIZE)
    grid = torch.zeros(2, 2, 5, 5, dtype=torch.float64)
    grid[1, 0, 2, 2] = NAN
    warped = warp_homography(image, torch.eye(3, dtype=torch.float64)[None], grid=grid)
    assert warped.valid[0].all()
    assert not warped.valid[1].any()
    assert warped.image.isfinite().all()


def test_gradcheck_of_the_grid() -> None:
    image = smooth("grid picture", 1, 1, 8, 9)
    H = TILTED[:1] + noise("grid off the kinks", 1, 3, 3) * 1e-3
    grid = (0.3 * noise("grid gradcheck", 1, 2, 4, 5)).requires_grad_()
    assert torch.autograd.gradcheck(lambda g: warp_homography(image, H, grid=g).image, (grid,))
    plane = TILTED[:1].clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda g, p: warp_homography(image, H, grid=g, homography_grid_dst=p).image, (grid, plane)
    )


def test_exceptions() -> None:
    image, eye = torch.rand(1, 1, *SIZE), torch.eye(3)[None]
    with pytest.raises(ShapeError, match="grid must have shape"):
        warp_homography(image, eye, grid=torch.zeros(2, 5, 5))
    with pytest.raises(ShapeError, match="at least 4 x 4 control points"):
        warp_homography(image, eye, grid=torch.zeros(1, 2, 3, 5))
    with pytest.raises(OptionError, match="grid_size to be"):
        warp_homography(image, eye, grid=torch.zeros(1, 2, 5, 5), grid_size=(0, 4))
    with pytest.raises(OptionError, match="grid_offset to be"):
        warp_homography(image, eye, grid=torch.zeros(1, 2, 5, 5), grid_offset=(0, float("nan")))
    with pytest.raises(ShapeError, match="homography_grid_dst must have shape"):
        warp_homography(image, eye, grid=torch.zeros(1, 2, 5, 5), homography_grid_dst=torch.eye(3))
