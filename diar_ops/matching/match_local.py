"""Matching of two almost aligned feature maps within a small window."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops._checks import (
    check_bool,
    check_floating,
    check_option,
    check_shapes,
    eps_of,
    full_precision,
    is_integer,
    solve_dtype,
)
from diar_ops._errors import DtypeError, ShapeError
from diar_ops._module import OpModule
from diar_ops._types import FeatureMap, Matches
from diar_ops.matching._unit import unit_descriptors


@full_precision
def match_local(features0: FeatureMap, features1: FeatureMap, *, radius: int = 2, step: int = 1) -> Matches:
    """Match each cell of map 0 to the best cell of map 1 within ``radius`` cells, sub-cell exact.

    For maps of two images that already lie over each other up to a few pixels, such as a frame
    warped by a coarse homography. The search costs ``(2 * radius + 1)**2`` passes over the maps,
    independent of their number of cells squared, and cannot confuse repeated texture farther away.
    The peak of the cosine similarity is refined by equiangular lines per axis. A cell whose peak
    lies on the rim of its window has no match: its true partner may be outside.

    Args:
        features0: :class:`FeatureMap` of image 0, descriptors (B, C, h, w). Zero or non-finite
            descriptors never match. They need not be normalised.
        features1: :class:`FeatureMap` of image 1, on the same grid: equal shape, stride, offset.
        radius: Half width of the square search window, in cells, at least 1.
        step: Match only every ``step``-th row and column of map 0's cells. Fine cells give exact
            positions; not all of them are needed to fit eight numbers.

    Returns:
        :class:`Matches` with N = ceil(h / step) * ceil(w / step) in row-major order of map 0's
        chosen cells. ``points1`` and ``score`` are differentiable with respect to both maps. All
        are float32 at least: half precision cannot hold pixel positions.

    Raises:
        ShapeError: The maps differ in shape, stride or offset.
        DtypeError: The descriptors are not floating point, or a mask is not bool.
        OptionError: ``radius`` or ``step`` is not a positive integer.

    Example:
        >>> features = FeatureMap(torch.randn(1, 8, 6, 7), stride=(4.0, 4.0))
        >>> match_local(features, features).valid.sum()  # all cells but the rim
        tensor(20)
    """
    _check(features0, features1, radius, step)
    d0 = features0.descriptors
    B, _, h, w = d0.shape
    dtype = solve_dtype(d0.dtype)
    unit0, usable0 = _unit(d0.to(dtype), features0.valid)
    unit1, usable1 = _unit(features1.descriptors.to(dtype), features1.valid)
    unit0, usable0 = unit0[:, ::step, ::step].contiguous(), usable0[:, ::step, ::step]
    peak = _find_peak(_similarity_volume(unit0, unit1, radius, step), 2 * radius + 1)

    (sx, sy), (ox, oy) = features0.stride, features0.offset
    cell_y, cell_x = torch.meshgrid(
        torch.arange(0, h, step, device=d0.device, dtype=dtype),
        torch.arange(0, w, step, device=d0.device, dtype=dtype),
        indexing="ij",
    )
    cell_x, cell_y = cell_x.reshape(1, -1), cell_y.reshape(1, -1)
    x1 = cell_x + (peak.column - radius) + peak.shift_x
    y1 = cell_y + (peak.row - radius) + peak.shift_y
    points0 = torch.stack([ox + sx * cell_x, oy + sy * cell_y], dim=-1).expand(B, -1, -1)
    points1 = torch.stack([ox + sx * x1, oy + sy * y1], dim=-1)

    row1 = (cell_y + peak.row - radius).clamp(0, h - 1)
    column1 = (cell_x + peak.column - radius).clamp(0, w - 1)
    index1 = (row1 * w + column1).long()
    supported = _with_neighbours(usable1).flatten(1).gather(1, index1)
    valid = peak.interior & usable0.flatten(1) & supported & (peak.value > 0)
    score = torch.where(valid, peak.value, torch.zeros_like(peak.value))
    return Matches(points0, points1, score, valid)


def _check(features0: FeatureMap, features1: FeatureMap, radius: int, step: int) -> None:
    op = "match_local"
    for name, features in (("features0", features0), ("features1", features1)):
        if not isinstance(features, FeatureMap):
            raise DtypeError(f"{op}: expected a FeatureMap as {name}, got {type(features).__name__}")
    check_shapes(
        op,
        features0=(features0.descriptors, "B C h w"),
        features1=(features1.descriptors, "B C h w"),
        valid0=(features0.valid, "? B h w"),
        valid1=(features1.valid, "? B h w"),
    )
    check_floating(op, features0=features0.descriptors, features1=features1.descriptors)
    check_bool(op, valid0=features0.valid, valid1=features1.valid)
    check_option(op, is_integer(radius) and radius >= 1, "radius >= 1", radius)
    check_option(op, is_integer(step) and step >= 1, "step >= 1", step)
    if features0.stride != features1.stride or features0.offset != features1.offset:
        raise ShapeError(
            f"{op}: the maps must lie on one grid, got stride {features0.stride} and "
            f"{features1.stride}, offset {features0.offset} and {features1.offset}"
        )


def _unit(descriptors: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return unit descriptors (B, h, w, C), 0 where unusable, and what is usable (B, h, w)."""
    unit, usable = unit_descriptors(descriptors, 1)
    if valid is not None:
        usable = usable & valid
        unit = torch.where(valid.unsqueeze(1), unit, 0.0)
    return unit.permute(0, 2, 3, 1).contiguous(), usable


def _similarity_volume(unit0: Tensor, unit1: Tensor, radius: int, step: int) -> Tensor:
    """Return (B, N, side * side), the similarity of each cell of map 0 at every displacement.

    Args:
        unit0: (B, ceil(h / step), ceil(w / step), C).
        unit1: (B, h, w, C); cells outside are zero vectors.
        radius: Half of ``side - 1``, in cells.
        step: Distance of the cells of map 0, in those of map 1.
    """
    h, w = unit1.shape[1:3]
    side = 2 * radius + 1
    padded = F.pad(unit1, (0, 0, radius, radius, radius, radius))
    return torch.stack(
        [
            torch.linalg.vecdot(unit0, padded[:, dy : dy + h : step, dx : dx + w : step])
            for dy in range(side)
            for dx in range(side)
        ],
        dim=-1,
    ).flatten(1, 2)


class _Peak(NamedTuple):
    """The best displacement of each cell, (B, N) each."""

    row: Tensor  # int64, clamped to the inside of the window
    column: Tensor
    interior: Tensor  # bool, the best displacement lies inside
    value: Tensor  # similarity
    shift_x: Tensor  # from the cell to the peak, in cells
    shift_y: Tensor


def _find_peak(volume: Tensor, side: int) -> _Peak:
    """Return the peak of each window (B, N, side * side), refined by a fit per axis."""
    best = volume.detach().argmax(dim=-1)  # [B, N]
    row = torch.div(best, side, rounding_mode="floor")
    column = best - row * side
    interior = (row > 0) & (row < side - 1) & (column > 0) & (column < side - 1)
    row, column = row.clamp(1, side - 2), column.clamp(1, side - 2)

    def similarity(dy: int, dx: int) -> Tensor:
        index = ((row + dy) * side + column + dx).unsqueeze(-1)
        return torch.gather(volume, -1, index).squeeze(-1)

    value = similarity(0, 0)
    shift_x = _peak_shift(similarity(0, -1), value, similarity(0, 1))
    shift_y = _peak_shift(similarity(-1, 0), value, similarity(1, 0))
    return _Peak(row, column, interior, value, shift_x, shift_y)


def _with_neighbours(usable: Tensor) -> Tensor:
    """Return the cells (B, h, w) that are usable like their four neighbours: no padding."""
    rim = F.pad(usable, (1, 1, 1, 1), value=False)
    across = rim[:, 1:-1, :-2] & rim[:, 1:-1, 1:-1] & rim[:, 1:-1, 2:]
    return across & rim[:, :-2, 1:-1] & rim[:, 2:, 1:-1]


def _peak_shift(before: Tensor, peak: Tensor, after: Tensor) -> Tensor:
    """Return the abscissa in [-0.5, 0.5] of the peak of two lines of equal and opposite slope.

    The self-similarity of histogram descriptors falls linearly from its peak, where a parabola
    would return only a third to a half of the shift.
    """
    slope = peak - torch.minimum(before, after)
    flat = slope <= eps_of(peak.dtype)
    shift = 0.5 * (after - before) / torch.where(flat, torch.ones_like(slope), slope)
    return torch.where(flat, torch.zeros_like(shift), shift).clamp(-0.5, 0.5)


class MatchLocal(OpModule):
    """See :func:`match_local`."""

    def __init__(self, *, radius: int = 2, step: int = 1) -> None:
        super().__init__()
        self.radius, self.step = radius, step

    def forward(self, features0: FeatureMap, features1: FeatureMap) -> Matches:
        """See :func:`match_local`."""
        return match_local(features0, features1, radius=self.radius, step=self.step)
