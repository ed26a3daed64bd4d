"""Refine two copies of which one shows what both show with far fewer pixels: on the grid of that one."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diar_ops._types import Matches, RefinedHomography
from diar_ops.geometry import refine_homography, transform_points
from diar_ops.pipeline._frames import WorkingCopy

#: One has clearly fewer pixels of what both show from this factor on. Below, either
#: grid serves: both hold the same detail along one direction or another.
_SMALLER = 2.0
#: Points along a side by which areas are measured.
_GRID = 32
#: Pixels around what both show that are compared, too, and sides of what is compared, at least.
_MARGIN, _LEAST_SIDE = 12, 48
#: Shorter side of a level of the pyramid, at least.
_LEAST_LEVEL = 24


def differ_in_size(homography_1_0: Tensor, copy0: WorkingCopy, copy1: WorkingCopy) -> bool:
    """Return whether one of two copies has clearly fewer pixels of what both show."""
    if _is_even(homography_1_0, copy0.size):
        return False
    area0, area1 = _shared_areas(homography_1_0, copy0, copy1)
    return max(area0, area1) > _SMALLER * min(area0, area1)


def refine_on_smaller(
    copy0: WorkingCopy,
    copy1: WorkingCopy,
    homography_1_0: Tensor,
    *,
    levels: int | None = None,
    max_iterations: int = 20,
) -> RefinedHomography:
    """Refine ``homography_1_0`` of two copies on the grid of the one that shows less, where it shows both.

    A photo that is enlarged holds no more detail, but more pixels: laid over one from much nearer,
    or more frontal, it is blurred, agrees less, and costs the pixels of the larger one.

    Args:
        copy0: A copy.
        copy1: Another, such that they :func:`differ_in_size`.
        homography_1_0: (3, 3) float64, right to some pixels.
        levels: See :func:`refine_homography`.
        max_iterations: See :func:`refine_homography`.

    Returns:
        Of B = 1, on the CPU: from copy 0 to copy 1, wherever it was refined. What is measured in
        pixels keeps its share of the longest side.
    """
    area0, area1 = _shared_areas(homography_1_0, copy0, copy1)
    if area1 <= area0:
        return _refine_where_shared(copy0, copy1, homography_1_0, levels, max_iterations)
    swapped = _refine_where_shared(copy1, copy0, torch.linalg.inv(homography_1_0), levels, max_iterations)
    H = torch.linalg.inv(swapped.homography)
    scale = max(copy1.size) / max(copy0.size)
    return swapped._replace(
        homography=H / torch.where(H[:, 2:, 2:].abs() > 1e-12, H[:, 2:, 2:], 1.0),
        residual_scale=swapped.residual_scale * scale,
        corner_sigma=swapped.corner_sigma * scale,
        matches=swapped.matches._replace(points0=swapped.matches.points1, points1=swapped.matches.points0),
    )


def _refine_where_shared(
    copy0: WorkingCopy, copy1: WorkingCopy, homography_1_0: Tensor, levels: int | None, max_iterations: int
) -> RefinedHomography:
    """Refine on the part of copy 1 that copy 0 shows."""
    shared = _shared_points(torch.linalg.inv(homography_1_0), copy1.size, copy0.size)
    left, top, right, bottom = _box(shared, copy1.size)
    image, valid = copy1.image[..., top:bottom, left:right], copy1.valid
    shift = torch.eye(3, dtype=torch.float64)
    shift[:2, 2] = torch.tensor([-left, -top])
    if levels is not None:
        levels = min(levels, 1 + int(math.log2(min(image.shape[-2:]) / _LEAST_LEVEL)))
    refined = refine_homography(
        copy0.image,
        image,
        (shift @ homography_1_0)[None].to(image.device),
        copy0.valid,
        None if valid is None else valid[..., top:bottom, left:right],
        levels=levels,
        max_iterations=max_iterations,
    )
    matches = Matches(*(field.cpu() for field in refined.matches))
    fields = {name: field.cpu() for name, field in refined._asdict().items() if name != "matches"}
    H = torch.linalg.inv(shift) @ fields["homography"].to(torch.float64)
    fields["homography"] = H / torch.where(H[:, 2:, 2:].abs() > 1e-12, H[:, 2:, 2:], 1.0)
    matches = matches._replace(points1=matches.points1 + matches.points1.new_tensor([left, top]))
    return RefinedHomography(matches=matches, **fields)


def _is_even(homography_1_0: Tensor, size: tuple[int, int]) -> bool:
    """Return whether no part of an image becomes :data:`_SMALLER` times smaller or larger; quickly."""
    row, height, width = homography_1_0[2].tolist(), *size
    depths = [row[0] * x + row[1] * y + row[2] for x in (0, width) for y in (0, height)]
    # The area change at a point is det(H) / w**3, which is monotonous in w.
    area = float(torch.linalg.det(homography_1_0))
    return all(depth != 0 and 1 / _SMALLER < area / depth**3 < _SMALLER for depth in depths)


def _shared_areas(homography_1_0: Tensor, copy0: WorkingCopy, copy1: WorkingCopy) -> tuple[float, float]:
    """Return how many pixels each copy has of what both show."""
    shared0 = _shared_points(homography_1_0, copy0.size, copy1.size)
    shared1 = _shared_points(torch.linalg.inv(homography_1_0), copy1.size, copy0.size)
    pixels0, pixels1 = (copy.size[0] * copy.size[1] / _GRID**2 for copy in (copy0, copy1))
    return len(shared0) * pixels0, len(shared1) * pixels1


def _shared_points(homography_1_0: Tensor, size0: tuple[int, int], size1: tuple[int, int]) -> Tensor:
    """Return those of a grid of points on image 0 that image 1 shows, too, (N, 2)."""
    y, x = ((torch.arange(_GRID, dtype=torch.float64) + 0.5) * side / _GRID - 0.5 for side in size0)
    grid = torch.cartesian_prod(x, y)
    points, in_front = transform_points(grid, homography_1_0)
    limit = torch.tensor([size1[1] - 0.5, size1[0] - 0.5], dtype=torch.float64)
    return grid[((points >= -0.5) & (points <= limit)).all(dim=-1) & in_front]


def _box(points: Tensor, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the part of an image around points (N, 2)."""
    bounds = []
    for axis, side in enumerate(reversed(size)):
        cell = side / _GRID
        low, high = (float(points[:, axis].amin()), float(points[:, axis].amax())) if len(points) else (0.0, side)
        low, high = low - cell - _MARGIN, high + cell + _MARGIN
        lacking = max(0.0, _LEAST_SIDE - (high - low)) / 2
        bounds.append((max(0, round(low - lacking)), min(side, round(high + lacking))))
    (left, right), (top, bottom) = bounds
    return left, top, right, bottom
