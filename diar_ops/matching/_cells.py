"""Matching of the cells of feature maps, shared by match_dense and match_pyramid.

The cells of one or more maps of an image become one descriptor set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._checks import check_bool, check_floating, check_option, check_shapes, is_integer, solve_dtype
from diar_ops._errors import DtypeError
from diar_ops._module import OpModule
from diar_ops._types import FeatureMap, Matches
from diar_ops.matching._unit import pick_descriptors, unit_descriptors
from diar_ops.matching.mutual_nearest import NearestPairs, check_match_options, mutual_nearest


class MatchOptions(NamedTuple):
    """The options of :func:`diar_ops.match_dense` and :func:`diar_ops.match_pyramid`."""

    threshold: float | None
    ratio: float | None
    temperature: float | None
    subpixel: bool
    max_matches: int | None

    def check(self, op: str) -> None:
        """Raise ``OptionError`` for values that no matcher takes."""
        check_match_options(op, self.threshold, self.ratio, self.temperature)
        fits = self.max_matches is None or (is_integer(self.max_matches) and self.max_matches >= 1)
        check_option(op, fits, "max_matches of at least 1", self.max_matches)


class CellMatcher(OpModule):
    """Base of the modules that match the cells of feature maps: stores the options."""

    def __init__(
        self,
        *,
        threshold: float | None = None,
        ratio: float | None = None,
        temperature: float | None = None,
        subpixel: bool = False,
        max_matches: int | None = None,
    ) -> None:
        super().__init__()
        options = MatchOptions(threshold, ratio, temperature, subpixel, max_matches)
        options.check(type(self).__name__)
        self.threshold = threshold
        self.ratio = ratio
        self.temperature = temperature
        self.subpixel = subpixel
        self.max_matches = max_matches


def match_cells(
    op: str, levels0: Sequence[FeatureMap], levels1: Sequence[FeatureMap], options: MatchOptions
) -> Matches:
    """Check the arguments of ``op`` and match the cells of all levels, any level with any."""
    _check_levels(op, levels0, levels1)
    options.check(op)
    cells0, cells1 = _as_cells(levels0), _as_cells(levels1)
    pairs = mutual_nearest(
        cells0.descriptors,
        cells1.descriptors,
        cells0.valid,
        cells1.valid,
        threshold=options.threshold,
        ratio=options.ratio,
        temperature=options.temperature,
    )
    B, N = pairs.index1.shape
    max_matches = options.max_matches
    if max_matches is None:
        index0 = torch.arange(N, device=pairs.index1.device).expand(B, N)
    else:
        index0, pairs = _best(pairs, min(max_matches, N))
    points0 = cells0.points[index0]
    if cells1.points.shape[0] == 0:
        points1 = torch.zeros_like(points0)
    else:
        points1 = cells1.points[pairs.index1]
        if options.subpixel:
            shift = _peak_shift(cells0, cells1, index0, pairs.index1)
            points1 = points1 + shift * cells1.stride[pairs.index1]
    matches = Matches(points0, points1, pairs.score, pairs.valid)
    if max_matches is not None and max_matches > N:
        matches = Matches(*(_pad(tensor, max_matches - N) for tensor in matches))
    return matches


class _Cells(NamedTuple):
    """All cells of an image's feature maps, level after level, each in row-major order."""

    descriptors: Tensor  # (B, N, C), float32 at least
    valid: Tensor | None  # (B, N) bool
    points: Tensor  # (N, 2), pixels (x, y)
    stride: Tensor  # (N, 2), pixels (x, y)
    width: Tensor  # (N,) int64: cells per row of the cell's own map
    inner: Tensor  # (N, 2) bool: the cell has both neighbours along (x, y)


def _as_cells(levels: Sequence[FeatureMap]) -> _Cells:
    """Concatenate the cells of feature maps with equal B and C."""
    device = levels[0].descriptors.device
    dtype = solve_dtype(levels[0].descriptors.dtype)
    points, strides, widths, inner = [], [], [], []
    for level in levels:
        h, w = level.descriptors.shape[-2:]
        i, j = torch.arange(h, device=device), torch.arange(w, device=device)
        row, column = (t.flatten() for t in torch.meshgrid(i, j, indexing="ij"))
        x = level.offset[0] + level.stride[0] * column.to(dtype)
        y = level.offset[1] + level.stride[1] * row.to(dtype)
        points.append(torch.stack([x, y], -1))
        strides.append(torch.stack([torch.full_like(x, s) for s in level.stride], -1))
        widths.append(column.new_full((h * w,), w))
        inner.append(torch.stack([(column > 0) & (column < w - 1), (row > 0) & (row < h - 1)], -1))
    valid = None
    if any(level.valid is not None for level in levels):
        masks = [
            torch.ones_like(level.descriptors[:, 0], dtype=torch.bool) if level.valid is None else level.valid
            for level in levels
        ]
        valid = torch.cat([mask.flatten(1) for mask in masks], 1)
    return _Cells(
        descriptors=torch.cat([x.descriptors.flatten(2).transpose(1, 2) for x in levels], 1).to(dtype),
        valid=valid,
        points=torch.cat(points),
        stride=torch.cat(strides),
        width=torch.cat(widths),
        inner=torch.cat(inner),
    )


def _check_levels(op: str, levels0: Sequence[FeatureMap], levels1: Sequence[FeatureMap]) -> None:
    """Check the shapes of all levels of both images against each other."""
    named: dict[str, tuple[Tensor | None, str]] = {}
    for side, levels in enumerate((levels0, levels1)):
        check_option(op, len(levels) > 0, f"at least one level in levels{side}", levels)
        for number, level in enumerate(levels):
            if not isinstance(level, FeatureMap) or not isinstance(level.descriptors, Tensor):
                raise DtypeError(
                    f"{op}: expected levels{side} (features{side}) to hold tensors in FeatureMap, "
                    f"got {type(level).__name__}"
                )
            name, sizes = f"levels{side}[{number}]", f"h{side}.{number} w{side}.{number}"
            named[f"{name}.descriptors"] = (level.descriptors, f"B C {sizes}")
            named[f"{name}.valid"] = (level.valid, f"? B {sizes}")
    check_shapes(op, **named)
    check_floating(op, **{n: t for n, (t, _) in named.items() if n.endswith("descriptors")})
    check_bool(op, **{n: t for n, (t, _) in named.items() if n.endswith("valid")})
    first = levels0[0].descriptors.dtype
    for level in (*levels0, *levels1):
        if level.descriptors.dtype != first:
            raise DtypeError(
                f"{op}: all descriptors of levels0 and levels1 (features0, features1) must be {first} "
                f"as the first, got {level.descriptors.dtype}"
            )


def _best(pairs: NearestPairs, count: int) -> tuple[Tensor, NearestPairs]:
    """Keep the best ``count`` pairs; of equal scores the lowest index in image 0."""
    order = torch.where(pairs.valid, pairs.score.detach(), -torch.inf)
    index0 = order.argsort(dim=1, descending=True, stable=True)[:, :count]
    return index0, NearestPairs(*(tensor.gather(1, index0) for tensor in pairs))


def _pad(tensor: Tensor, count: int) -> Tensor:
    return torch.cat([tensor, tensor.new_zeros(tensor.shape[0], count, *tensor.shape[2:])], 1)


def _peak_shift(cells0: _Cells, cells1: _Cells, index0: Tensor, index1: Tensor) -> Tensor:
    """Return (B, K, 2) shifts (x, y) in cells from each match to the peak of its similarity.

    The peak is that of the quadratic through the similarities of the 3 x 3 cells around the
    match: least squares over all nine where they exist and the quadratic has a maximum, else
    axis by axis, else none.
    """
    all1, usable1 = unit_descriptors(cells1.descriptors, 2)
    usable1 = usable1 if cells1.valid is None else usable1 & cells1.valid
    query, _ = unit_descriptors(pick_descriptors(cells0.descriptors, index0), 2)
    width, inner = cells1.width[index1], cells1.inner[index1]
    last = cells1.points.shape[0] - 1
    values, exists = [], []
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            neighbour = (index1 + dy * width + dx).clamp(0, last)
            usable = usable1.gather(1, neighbour)
            if dx != 0:
                usable = usable & inner[..., 0]
            if dy != 0:
                usable = usable & inner[..., 1]
            values.append((query * pick_descriptors(all1, neighbour)).sum(2))
            exists.append(usable)
    return _quadratic_peak(torch.stack(values, -1), torch.stack(exists, -1))


def _quadratic_peak(values: Tensor, exists: Tensor) -> Tensor:
    """Return the (..., 2) peak (x, y) of (..., 9) values on the cells -1, 0, 1, row-major."""
    v = values.reshape(*values.shape[:-1], 3, 3)  # [..., y, x]
    # Least squares on the 3 x 3 grid: f = g . (x, y) + (xx x^2 + yy y^2) / 2 + xy x y + const.
    column, row = v.sum(-2), v.sum(-1)  # [..., x], [..., y]
    gx, gy = (column[..., 2] - column[..., 0]) / 6, (row[..., 2] - row[..., 0]) / 6
    xx = (column[..., 0] - 2 * column[..., 1] + column[..., 2]) / 3
    yy = (row[..., 0] - 2 * row[..., 1] + row[..., 2]) / 3
    xy = (v[..., 2, 2] + v[..., 0, 0] - v[..., 2, 0] - v[..., 0, 2]) / 4
    determinant = xx * yy - xy.square()
    # Curvatures within rounding of zero have no peak worth the name.
    flat = 16 * torch.finfo(values.dtype).eps
    peaked = exists.all(-1) & (xx < -flat) & (yy < -flat) & (determinant > flat * flat)
    safe = torch.where(peaked, determinant, 1)
    full = torch.stack([xy * gy - yy * gx, xy * gx - xx * gy], -1) / safe.unsqueeze(-1)
    cross_x = _parabola(v[..., 1, :], exists[..., 3:6].all(-1), flat)
    cross_y = _parabola(v[..., :, 1], exists[..., 1::3].all(-1), flat)
    single = torch.stack([cross_x, cross_y], -1)
    # The match is the best cell, so the peak lies within half a cell: further is a bad fit.
    return torch.where(peaked.unsqueeze(-1), full, single).clamp(-0.5, 0.5)


def _parabola(v: Tensor, usable: Tensor, flat: float) -> Tensor:
    curvature = v[..., 0] - 2 * v[..., 1] + v[..., 2]
    peaked = usable & (curvature < -flat)
    slope = torch.where(peaked, v[..., 0] - v[..., 2], 0)
    return slope / (2 * torch.where(peaked, curvature, 1))
