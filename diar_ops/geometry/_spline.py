"""Displacement grids: uniform cubic B-splines over an image, shared by warp_homography and refine_grid."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops.geometry._matrix3 import front_sign, invert

#: Control points that a grid has more than cells, along each side.
EXTRA = 3
#: Displacements beyond so many pixels are out of any image; squares of larger numbers overflow.
_FARTHEST = 1e6


def spline_basis(positions: Tensor, length: float, cells: int) -> Tensor:
    """Return (n, cells + 3), the weight of each control point at pixel positions (n,) along a side.

    Args:
        positions: In pixels; beyond the side, the value at its end holds.
        length: Of the side, from -0.5 to ``length - 0.5``.
        cells: Along the side.
    """
    place = ((positions + 0.5) * (cells / length)).clamp(0, cells)
    points = torch.arange(cells + EXTRA, dtype=place.dtype, device=place.device) - 1
    distance = (place[:, None] - points).abs()
    near, far = (1 - distance).clamp_min(0), (2 - distance).clamp_min(0)
    return (far**3 - 4 * near**3) / 6


class DisplacementGrid(NamedTuple):
    """Displacements of the pixels of a window of an image.

    Attributes:
        points: (B, 2, rows + 3, columns + 3) control points, x and y in pixels of the window.
        size: (height, width) that the grid spans, in pixels of the window.
        offset: Position (x, y) of the window's first pixel within the span.
    """

    points: Tensor
    size: tuple[float, float]
    offset: tuple[float, float] = (0.0, 0.0)

    def at(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Return (B, 2, h, w), the displacements in rows (h,) and columns (w,) of the window."""
        by_row = spline_basis(rows + self.offset[1], self.size[0], self.points.shape[-2] - EXTRA)
        by_column = spline_basis(columns + self.offset[0], self.size[1], self.points.shape[-1] - EXTRA)
        return by_row @ self.points.clamp(-_FARTHEST, _FARTHEST) @ by_column.mT

    def at_points(self, x: Tensor, y: Tensor) -> Tensor:
        """Return (B, 2, h, w), the displacements at positions x and y (B, h, w) of the window."""
        taps = []
        for positions, offset, length, count in (
            (y, self.offset[1], self.size[0], self.points.shape[-2]),
            (x, self.offset[0], self.size[1], self.points.shape[-1]),
        ):
            cells = count - EXTRA
            place = ((positions + offset + 0.5) * (cells / length)).clamp(0, cells)
            first = place.detach().floor().clamp(max=cells - 1)
            f = place - first
            weights = ((1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, 1 + 3 * f + 3 * f**2 - 3 * f**3, f**3)
            taps.append([(first.long() + i, weight / 6) for i, weight in enumerate(weights)])
        points, columns = self.points.clamp(-_FARTHEST, _FARTHEST).flatten(2), self.points.shape[-1]
        total = torch.zeros_like(x)[:, None].expand(-1, 2, -1, -1)
        for (row, by_row), (column, by_column) in product(*taps):
            index = (row * columns + column).flatten(1)[:, None].expand(-1, 2, -1)
            total = total + (by_row * by_column)[:, None] * points.gather(2, index).reshape(len(x), 2, *x.shape[1:])
        return total

    def shift(self, matrix: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Return (B, 3, h, w), by how much the displacements move what ``matrix`` (B, 3, 3) maps."""
        return torch.einsum("bij,bjhw->bihw", matrix[:, :, :2], self.at(rows, columns))


class ProjectedGrid(NamedTuple):
    """A grid that lies in another plane than the window whose pixels it displaces.

    Attributes:
        grid: In pixels of its own plane.
        homography: (B, 3, 3), grid's plane ~ H @ window.
    """

    grid: DisplacementGrid
    homography: Tensor

    def shift(self, matrix: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Return what :meth:`DisplacementGrid.shift` does: pixels go to the plane, are displaced and come back."""
        back = invert(self.homography)
        middle = torch.stack([back.new_tensor((n - 1) / 2) for n in reversed(self.grid.size)])
        G = self.homography * front_sign(back, middle)[:, None, None]
        x, y, w = (
            G[:, i, 0, None, None] * columns + (G[:, i, 1, None] * rows + G[:, i, 2, None])[..., None] for i in range(3)
        )
        # What is not in front of the plane's middle is not displaced.
        ahead = w.clamp_min(torch.finfo(w.dtype).tiny)
        moved = w.clamp_min(0)[:, None] * self.grid.at_points(x / ahead, y / ahead)
        leading = matrix @ invert(G)
        return torch.einsum("bij,bjhw->bihw", leading[:, :, :2], moved)
