"""Where a displacement grid holds: the connected region that bends smoothly about where the homography fits."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops.geometry._refine_grid.prior import monomials

#: How far a cell is stretched, sheared or turned against a quadratic map, which most of any bend is: the
#: displacement's change from one corner to the next, in shares of the cell's side. A grid with a cell
#: beyond the first is torn: bent pictures stay below 0.3, what lies at another depth is beyond 0.4.
#: Of a torn grid, cells beyond the second are no part of the surface.
_TEARS, _MOST_STRAIN = 0.35, 0.2
#: Likewise, how far a cell may be from that map, in shares of the diagonal, where bent pictures stay
#: below 0.04; and how far cells of a torn grid may be displaced.
_LEAVES, _LONGEST = 0.045, 0.02
#: Share of a cell's texture that agrees, at least, where pixels say that it is of the surface; and
#: how many cells farther a torn grid goes on.
_AGREES, _BEYOND = 0.25, 2
#: Displacement at which a cell's say in where the region begins is halved, in shares of the longer
#: side; and the side of the window over which it is summed, in cells.
_NEAR, _WINDOW = 0.01, 5
#: Rounds in which a map is laid through most of the displacements; and the least distance from
#: it, in shares of the longer side, from which on a cell has less say.
_ROUNDS, _LEAST_NEAR = 6, 0.005


class Support(NamedTuple):
    """Where grids hold; beyond, torn ones fall to zero within two cells.

    Attributes:
        torn: (B,) bool, the items that do not hold everywhere.
        cells: (B, rows, columns) bool, cells in which pixels have a say.
        points: (B, 1, rows + 3, columns + 3) factors of the control points, in [0, 1].
        longest: Bound on the displacements of a torn grid, in pixels.
    """

    torn: Tensor
    cells: Tensor
    points: Tensor
    longest: float

    @classmethod
    def of(cls, points: Tensor, agrees: Tensor, texture: Tensor, span: tuple[float, float]) -> Support:
        """Return where grids are one surface: the cells that hang together with where the homography fits best.

        Where a grid tears, the photo shows what lies at several depths: a room beside the picture,
        what a mirror shows. Cells next to a tear are not trusted either, since it drags them along;
        and where no pixels agree, such a grid soon ends.

        Args:
            points: (B, 2, rows + 3, columns + 3) control points, in pixels.
            agrees: (B, rows, columns) texture that agrees under them.
            texture: (B, rows, columns) all texture.
            span: (height, width) of the grid in pixels.
        """
        longer, diagonal = max(span), (span[0] ** 2 + span[1] ** 2) ** 0.5
        longest = _LONGEST * diagonal
        points = points.detach().to(agrees)
        sure = agrees > _AGREES * texture
        at = _corners(points - _most_of(points, agrees * sure, longer))
        height, width = span[0] / (at.shape[-2] - 1), span[1] / (at.shape[-1] - 1)
        across, down = at.diff(dim=-1).norm(dim=1) / width, at.diff(dim=-2).norm(dim=1) / height
        strain = torch.maximum(_pairs(across, -2), _pairs(down, -1))
        leaves = sure & (_of_cells(at) > _LEAVES * diagonal)
        torn = ((strain > _TEARS) | leaves).flatten(1).any(1)
        moved = _of_cells(_corners(points))
        whole = ~_grown((strain > _MOST_STRAIN) | (moved > longest), 1)
        evidence = agrees / (1 + (moved / (_NEAR * longer)).square())
        cells = _hanging_together(whole & _grown(sure & whole, _BEYOND), evidence)
        first = _most(F.pad(cells.to(points), (2, 2, 2, 2)), (2, 2))  # points at the cells' corners
        held = (first + _most(first, (3, 3))) / 2
        held = torch.where(torn[:, None, None], held, 1)
        return cls(torn, cells | ~torn[:, None, None], held[:, None], longest)

    def cut(self, points: Tensor) -> Tensor:
        """Return control points (B, 2, rows + 3, columns + 3) that fall to zero where torn grids do not hold.

        None of those of a torn grid is longer than it may be.
        """
        held = points * self.points.to(points)
        shorter = (self.longest / held.norm(dim=1, keepdim=True).clamp_min(1e-12)).clamp_max(1)
        return torch.where(self.torn[:, None, None, None], held * shorter, points)


def _most_of(points: Tensor, weight: Tensor, longer: float) -> Tensor:
    """Return the quadratic polynomials (B, 2, rows + 3, columns + 3) that most of the grids are near.

    It begins where the displacements are short.

    Args:
        points: (B, 2, rows + 3, columns + 3) control points.
        weight: (B, rows, columns) of the cells.
        longer: Longer side, in pixels.
    """
    values = F.avg_pool2d(_corners(points), 2, 1).flatten(2).mT  # [B, rows * columns, 2]
    places = monomials((points.shape[-2], points.shape[-1]), 2, points)
    inner = places.mT.reshape(1, -1, *points.shape[-2:])
    inner = F.avg_pool2d(_corners(inner), 2, 1)[0].flatten(1).mT
    own, left = weight.flatten(1), values
    count = places.shape[1]
    factors = values.new_zeros(len(points), count, 2)
    ridge = 1e-6 * own.mean(1).clamp_min(1e-12)[:, None, None] * torch.eye(count, dtype=own.dtype, device=own.device)
    for _ in range(_ROUNDS):
        square = left.square().sum(-1)
        usual = torch.where(own > 0, square, torch.nan).nanmedian(1, keepdim=True).values.nan_to_num(0)
        near = own / (1 + square / usual.clamp_min((_LEAST_NEAR * longer) ** 2)).square()
        scaled = inner * near[..., None]
        factors = torch.cholesky_solve(scaled.mT @ values, torch.linalg.cholesky_ex(inner.mT @ scaled + ridge).L)
        left = values - inner @ factors
    return (places @ factors).mT.reshape(points.shape).nan_to_num(0, 0, 0)


def _corners(points: Tensor) -> Tensor:
    """Return the displacements (..., rows + 1, columns + 1) at the corners of the cells."""
    for dim in (-1, -2):
        n = points.shape[dim] - 2
        points = (points.narrow(dim, 0, n) + 4 * points.narrow(dim, 1, n) + points.narrow(dim, 2, n)) / 6
    return points


def _pairs(values: Tensor, dim: int) -> Tensor:
    """Return the larger of each two neighbours along a dimension."""
    n = values.shape[dim] - 1
    return torch.maximum(values.narrow(dim, 0, n), values.narrow(dim, 1, n))


def _of_cells(displacement: Tensor) -> Tensor:
    """Return (B, rows, columns), the largest length at a cell's corners (B, 2, rows + 1, columns + 1)."""
    return _pairs(_pairs(displacement.norm(dim=1), -1), -2)


def _most(values: Tensor, window: tuple[int, int]) -> Tensor:
    """Return the maxima of (B, rows, columns) in windows, in as many places if their sides are odd."""
    padding = (window[0] % 2 * (window[0] // 2), window[1] % 2 * (window[1] // 2))
    return F.max_pool2d(values[:, None], window, 1, padding)[:, 0]


def _grown(cells: Tensor, by: int) -> Tensor:
    """Return cells (B, rows, columns) bool and those around them."""
    return _most(cells.float(), (2 * by + 1, 2 * by + 1)) > 0


def _hanging_together(sound: Tensor, evidence: Tensor) -> Tensor:
    """Return the sound cells (B, rows, columns) that paths of such cells join to those of most evidence."""
    rows, columns = sound.shape[-2:]
    share = torch.where(sound, evidence, 0)[:, None]
    around = F.avg_pool2d(share, _WINDOW, 1, _WINDOW // 2)[:, 0] * sound
    first = around.flatten(1).argmax(1, keepdim=True)
    region = torch.zeros_like(around).flatten(1).scatter(1, first, 1.0).reshape(around.shape) * sound
    for _ in range(rows + columns):
        wider = torch.maximum(_most(region, (3, 1)), _most(region, (1, 3)))
        region = wider * sound
    return region > 0
