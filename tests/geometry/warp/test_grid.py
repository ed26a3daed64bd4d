"""warp_homography(grid=): displacements by a B-spline, exact where there are none."""

from __future__ import annotations

import pytest
import torch

from diar_ops import OptionError, ShapeError, warp_homography
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
