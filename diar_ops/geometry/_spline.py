"""Displacement grids: uniform cubic B-splines over an image, shared by warp_homography and refine_grid."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

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
