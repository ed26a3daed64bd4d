"""Exact nearest neighbours in both directions without the N x M matrix.

The product of the two sets is walked in tiles that stay in the cache; of each tile only the
row and column maxima survive. The walk is registered as a custom operator, so that a compiled
graph holds one node instead of thousands of tiles.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops._batching import register_batching
from diar_ops._custom_op import custom_op
from diar_ops._threads import work_size

#: Elements of one tile. On a CPU 4 MiB of float32 stay in the cache of a thread; a GPU wants to be filled.
TILE_CPU, TILE_GPU = 2**20, 2**24
#: Width of the groups of the two-stage argmax, along a row and down a column; tiles are cut to multiples of both.
ROW_GROUP, COLUMN_GROUP = 64, 32
GROUP = max(ROW_GROUP, COLUMN_GROUP)


class Nearest(NamedTuple):
    """Best partners in both directions; ``second`` is the runner-up's similarity, or empty."""

    index0: Tensor  # (B, N) int64 into set 1
    best0: Tensor  # (B, N)
    second0: Tensor  # (B, N) or (0)
    index1: Tensor  # (B, M) int64 into set 0
    best1: Tensor  # (B, M)
    second1: Tensor  # (B, M) or (0)


def augment(unit0: Tensor, bias0: Tensor, unit1: Tensor, bias1: Tensor, *, multiple: int = 1) -> tuple[Tensor, Tensor]:
    """Append two channels so that the plain product is ``unit0 . unit1 + bias0 + bias1``.

    Both sets are padded to a multiple of ``multiple`` with elements whose products are -inf.
    """
    pad0, pad1 = (-unit.shape[1] % multiple for unit in (unit0, unit1))
    bias0, bias1 = (F.pad(bias0, (0, pad0), value=-torch.inf), F.pad(bias1, (0, pad1), value=-torch.inf))
    return (
        torch.cat([F.pad(unit0, (0, 0, 0, pad0)), torch.stack([bias0, torch.ones_like(bias0)], -1)], -1),
        torch.cat([F.pad(unit1, (0, 0, 0, pad1)), torch.stack([torch.ones_like(bias1), bias1], -1)], -1),
    )


def tiles(batch: int, rows: int, columns: int, device: torch.device) -> tuple[int, int, int]:
    """Return how many items, rows and columns make one tile."""
    limit = work_size(TILE_CPU) if device.type == "cpu" else TILE_GPU
    side = int(limit**0.5)
    r, c = min(side, rows), min(side, columns)
    # One short side lets the other grow, so that thin products are not cut into slivers.
    r, c = min(rows, _whole_groups(limit // c)), min(columns, _whole_groups(limit // r))
    return max(1, min(batch, limit // (r * c))), r, c


def _whole_groups(size: int) -> int:
    return max(GROUP, size // GROUP * GROUP)


@custom_op("nearest_both_ways")
def _nearest_both_ways(
    unit0: Tensor, bias0: Tensor, unit1: Tensor, bias1: Tensor, second: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    B, N, M = unit0.shape[0], unit0.shape[1], unit1.shape[1]
    if unit0.device.type == "cpu" and not (N % GROUP or M % GROUP or bias0.any() or bias1.any()):
        set0, set1 = unit0, unit1  # two more channels than a multiple of 8 make the product a fifth slower
    else:
        set0, set1 = augment(unit0, bias0, unit1, bias1, multiple=GROUP)
    rows, columns = set0.shape[1], set1.shape[1]
    run0, run1 = _Running(B, rows, second, set0), _Running(B, columns, second, set0)
    tb, tr, tc = tiles(B, rows, columns, set0.device)
    buffer = set0.new_empty(tb * tr * tc)
    for b in range(0, B, tb):
        items = slice(b, min(b + tb, B))
        for i in range(0, rows, tr):
            left = set0[items, i : i + tr]
            for j in range(0, columns, tc):
                right = set1[items, j : j + tc]
                shape = (left.shape[0], left.shape[1], right.shape[1])
                tile = buffer[: shape[0] * shape[1] * shape[2]].view(shape)
                torch.bmm(left, right.transpose(1, 2), out=tile)
                run0.update(items, i, j, *_row_maxima(tile), tile, 2)
                run1.update(items, j, i, *_column_maxima(tile), tile, 1)
    return (*run0.result(N), *run1.result(M))


@_nearest_both_ways.register_fake
def _(
    unit0: Tensor, bias0: Tensor, unit1: Tensor, bias1: Tensor, second: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    B, N, M = unit0.shape[0], unit0.shape[1], unit1.shape[1]
    return (
        unit0.new_empty(B, N, dtype=torch.int64),
        unit0.new_empty(B, N),
        unit0.new_empty((B, N) if second else (0,)),
        unit0.new_empty(B, M, dtype=torch.int64),
        unit0.new_empty(B, M),
        unit0.new_empty((B, M) if second else (0,)),
    )


register_batching(_nearest_both_ways)


class _Running:
    """Best partner so far of every element of one set."""

    def __init__(self, batch: int, size: int, second: bool, like: Tensor) -> None:
        self.best = like.new_full((batch, size), -torch.inf)
        self.index = like.new_zeros((batch, size), dtype=torch.int64)
        self.second = like.new_full((batch, size), -torch.inf) if second else None

    def update(
        self, items: slice, start: int, partner_start: int, value: Tensor, index: Tensor, tile: Tensor, dim: int
    ) -> None:
        part = (items, slice(start, start + value.shape[1]))
        best = self.best[part]
        if self.second is not None:
            # Hide the tile's best, look again, put it back for the other direction.
            position = index.unsqueeze(dim)
            tile.scatter_(dim, position, -torch.inf)
            runner_up = tile.amax(dim)
            tile.scatter_(dim, position, value.unsqueeze(dim))
            second = torch.maximum(self.second[part], runner_up)
            self.second[part] = torch.maximum(second, torch.minimum(best, value))
        # Strictly greater: of equals the first, that is the lowest index, stays.
        better = value > best
        self.index[part] = torch.where(better, index + partner_start, self.index[part])
        self.best[part] = torch.maximum(best, value)

    def result(self, size: int) -> tuple[Tensor, Tensor, Tensor]:
        second = self.best.new_empty(0) if self.second is None else self.second[:, :size].clone()
        return self.index[:, :size].clone(), self.best[:, :size].clone(), second


# On a CPU torch's argmax is scalar code, 10 to 30 times slower than amax. So amax shrinks each
# line to one number per group of neighbours, and only those and the winning group are looked at
# again. Both steps take the first of equal values.
def _row_maxima(tile: Tensor) -> tuple[Tensor, Tensor]:
    if tile.device.type != "cpu":
        value, index = tile.max(2)
        return value, index
    grouped = tile.view(-1, tile.shape[2] // ROW_GROUP, ROW_GROUP)  # [b * r, groups, ROW_GROUP]
    _, group = _first_of_largest(grouped.amax(2), 1)
    place = torch.arange(len(group), device=tile.device) * grouped.shape[1] + group
    value, index = _first_of_largest(grouped.view(-1, ROW_GROUP).index_select(0, place), 1)
    return value.view(tile.shape[:2]), (index + ROW_GROUP * group).view(tile.shape[:2])


def _column_maxima(tile: Tensor) -> tuple[Tensor, Tensor]:
    if tile.device.type != "cpu":
        value, index = tile.max(1)
        return value, index
    grouped = tile.view(tile.shape[0], -1, COLUMN_GROUP, tile.shape[2])  # [b, groups, COLUMN_GROUP, c]
    _, group = _first_of_largest(grouped.amax(2), 1)  # [b, c]
    winner = grouped.gather(1, group[:, None, None].expand(-1, 1, COLUMN_GROUP, -1)).squeeze(1)
    value, index = _first_of_largest(winner, 1)
    return value, index + COLUMN_GROUP * group


def _first_of_largest(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Return the largest values along a short ``dim``, and their first positions: 0 where all are -inf."""
    value, size = x.amax(dim, keepdim=True), x.shape[dim]
    position = torch.arange(size, dtype=x.dtype, device=x.device)
    position = position.view([size if d == dim else 1 for d in range(x.ndim)])
    # Arithmetic, since comparing and choosing between broadcast tensors takes five times as long.
    first = (value - x).sign_().mul_(size).add_(position).amin(dim)
    return value.squeeze(dim), first.nan_to_num(0).long()


def nearest_both_ways(unit0: Tensor, bias0: Tensor, unit1: Tensor, bias1: Tensor, *, second: bool = False) -> Nearest:
    """Find the partner that maximises ``unit0 . unit1 + bias0 + bias1``, in both directions.

    Args:
        unit0: (B, N, C) float32 or float64, finite, N >= 1.
        bias0: (B, N) finite.
        unit1: (B, M, C), M >= 1.
        bias1: (B, M) finite.
        second: Also return the second largest value of every element; -inf where the other set
            has only one element.

    Returns:
        :class:`Nearest`; among equals the partner of the lowest index. Not differentiable.
    """
    nearest = _nearest_both_ways(unit0.detach(), bias0.detach(), unit1.detach(), bias1.detach(), second)
    return Nearest(*nearest)
