"""The normal equations of a displacement grid, from sums over small blocks and from its prior."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops._checks import widest_dtype
from diar_ops.geometry._refine.blocks import BLOCK, Blocks, displacement, textured
from diar_ops.geometry._refine_grid.prior import Prior
from diar_ops.geometry._refine_grid.support import Support
from diar_ops.geometry._spline import EXTRA, spline_basis

#: Variance of a block's motion relative to that of independent pixels: blocks beside each other
#: share the pixels of their features' windows.
_DEPENDENCE = 2.0
#: Least variance of a pixel's features: no photo is more exact.
_LEAST_NOISE = 1e-6
#: Median of the square of a normal vector in the plane, in variances of a coordinate.
_MEDIAN_SQUARE = 1.3863


class GridFrame(NamedTuple):
    """The geometry of a displacement grid over the blocks of one level.

    Attributes:
        by_row: (rows of blocks, rows + 3) weights of the control points.
        by_column: (columns of blocks, columns + 3).
        prior: What is expected of the control points.
        support: Where the grids hold; ``None`` for everywhere. Where they do not, control points are
            those before they are cut off.
    """

    by_row: Tensor
    by_column: Tensor
    prior: Prior
    support: Support | None = None

    @classmethod
    def over(
        cls,
        size: tuple[int, int],
        span: tuple[float, float],
        cells: tuple[int, int],
        smoothness: float,
        device: torch.device,
        *,
        shapes: Tensor | None = None,
        block: int = BLOCK,
    ) -> GridFrame:
        """Return the geometry for blocks of an image of ``size``, a grid that spans ``span`` pixels."""
        wide = widest_dtype(device)
        by_row, by_column = (
            spline_basis((torch.arange(side // block, dtype=wide, device=device) + 0.5) * block - 0.5, length, number)
            for side, length, number in zip(size, span, cells, strict=True)
        )
        return cls(by_row, by_column, Prior.over(span, cells, smoothness, shapes, by_row))

    def at(self, points: Tensor) -> Tensor:
        """Return the displacements (B, n, 2) of the blocks under control points."""
        grid = self.by_row @ points.to(self.by_row) @ self.by_column.mT
        return grid.flatten(2).mT

    def inside(self, blocks: Blocks) -> Blocks:
        """Return blocks of which those where the grids do not hold know nothing."""
        if self.support is None:
            return blocks
        rows, columns = self._cells()
        held = (rows @ self.support.cells.to(rows) @ columns.mT).flatten(1).to(blocks.tensor)
        tensor, pull = blocks.tensor * held[..., None, None], blocks.pull * held[..., None]
        return blocks._replace(tensor=tensor, pull=pull, known=blocks.known & (held > 0))

    def in_cells(self, values: Tensor) -> Tensor:
        """Return (B, rows, columns), the sums over the cells of values (B, n) of blocks."""
        rows, columns = self._cells()
        return rows.mT @ values.reshape(len(values), len(rows), len(columns)).to(rows) @ columns

    def _cells(self) -> tuple[Tensor, Tensor]:
        """Return (rows of blocks, rows) and (columns of blocks, columns), 1 where a block's centre lies."""
        inside = []
        for basis in (self.by_row, self.by_column):
            # Between the two middle ones of its four points.
            cell = basis.unfold(1, 2, 1).sum(-1)[:, 1:-1].argmax(1)
            ordinal = torch.arange(basis.shape[1] - EXTRA, device=basis.device)
            inside.append((cell[:, None] == ordinal).to(basis.dtype))
        rows, columns = inside
        return rows, columns

    def certainty(self, tensor: Tensor) -> Tensor:
        """Return (B, rows, columns) from what blocks know, see :attr:`RefinedGrid.certainty`."""
        rows, columns = self._cells()
        grid = tensor.reshape(len(tensor), len(rows), len(columns), 4).permute(0, 3, 1, 2)
        xx, xy, _, yy = (rows.mT @ grid @ columns).unbind(1)
        half = (xx + yy) / 2
        # The smaller eigenvalue, the inverse of the variance.
        least = (half - ((xx - half).square() + xy.square()).clamp_min(1e-30).sqrt()).clamp_min(0)
        return least / (1 + least)


def noise_of(blocks: Blocks) -> Tensor:
    """Return (B,), the variance of a pixel's features that the motions left over speak of.

    The median over the textured blocks of their squared motion, in units of what unit noise gives.
    """
    square = (displacement(blocks) * blocks.pull).sum(-1)
    square = torch.where(textured(blocks) & blocks.known, square, torch.nan)
    return (square.nanmedian(1).values / _MEDIAN_SQUARE).nan_to_num(1.0).clamp_min(_LEAST_NOISE)


def information(blocks: Blocks, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return (B, n, 2, 2) and (B, n, 2): what blocks know of their motion, in px^-2, and times it."""
    scale = (weight / (_DEPENDENCE * noise_of(blocks)[:, None])).to(widest_dtype(weight.device))
    return blocks.tensor * scale[..., None, None], blocks.pull * scale[..., None]


def solve_grid(blocks: Blocks, weight: Tensor, points: Tensor, frame: GridFrame) -> Tensor:
    """Return the step (B, 2, rows + 3, columns + 3) of the control points that explains the pulls.

    Args:
        blocks: Under the grid of ``points``.
        weight: (B, n) of the blocks.
        points: (B, 2, rows + 3, columns + 3) in pixels of the level.
        frame: Geometry.
    """
    tensor, pull = information(blocks, weight)
    # The pull says how far the content should move on; the grid says where to look for it.
    return solve_step(tensor, -pull, points, frame)


def solve_step(tensor: Tensor, push: Tensor, points: Tensor, frame: GridFrame) -> Tensor:
    """Return the most probable step of control points.

    Args:
        tensor: (B, n, 2, 2) what the places of ``frame`` know of their step, in px^-2.
        push: (B, n, 2) the tensor times the step that they ask for.
        points: (B, 2, rows + 3, columns + 3), which the prior draws to zero.
        frame: Geometry.
    """
    batch, (h, rows), (w, columns) = len(push), frame.by_row.shape, frame.by_column.shape
    count = rows * columns
    # Along each axis a place touches pairs of control points: (h, rows * rows).
    pairs = [(basis[:, :, None] * basis[:, None, :]).flatten(1) for basis in (frame.by_row, frame.by_column)]
    tensor = tensor.reshape(batch, h, w, 4).permute(0, 3, 1, 2)
    normal = pairs[0].mT @ tensor @ pairs[1]  # [B, 4, rows * rows, columns * columns]
    normal = normal.reshape(batch, 2, 2, rows, rows, columns, columns)
    normal = normal.permute(0, 1, 3, 5, 2, 4, 6).reshape(batch, 2 * count, 2 * count)
    if frame.support is not None:
        held = frame.support.points.to(normal).flatten(1).repeat(1, 2)
        normal = normal * held[:, :, None] * held[:, None, :]
    prior = frame.prior.at(points.to(normal))
    normal = normal + torch.stack((F.pad(prior, (0, count)), F.pad(prior, (count, 0))), 1).flatten(1, 2)
    push = push.reshape(batch, h, w, 2).permute(0, 3, 1, 2)
    right = frame.by_row.mT @ push @ frame.by_column
    if frame.support is not None:
        right = right * frame.support.points.to(right)
    right = right.reshape(batch, 2, count)
    right = right - points.to(right).reshape(batch, 2, count) @ prior
    factor, _ = torch.linalg.cholesky_ex(normal)
    step = torch.cholesky_solve(right.reshape(batch, 2 * count, 1), factor)
    return step.reshape(batch, 2, rows, columns)
