"""Sort items into groups on the device: it is waited for once, not once for each list of indices."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import NamedTuple

import torch
from torch import Tensor


class Groups(NamedTuple):
    """Items in the order of their groups.

    Attributes:
        order: (n,) flat index of all items, by group; those of none are last.
        code: (n,) the groups.
        bounds: (G + 1,) where each group begins.
    """

    order: Tensor
    code: Tensor
    bounds: Tensor


class PackedRows(NamedTuple):
    """Items in rows, each of one frame.

    Attributes:
        item: (n,) flat index of the items, by frame.
        item_frame: (n,) of each, ascending.
        at: (R, N) which of these is at each position.
        frame: (R,) of each row, ascending.
        position: (n,) where, in the flattened rows, each of these is.
        starts: At which row each frame begins, and the number of rows.
    """

    item: Tensor
    item_frame: Tensor
    at: Tensor
    frame: Tensor
    position: Tensor
    starts: list[int]


def sort_into_groups(code: Tensor, groups: int) -> Groups:
    """Sort items by the number of their group, 0 to ``groups`` - 1; ``groups`` is none."""
    code, order = code.flatten().to(torch.int32).sort(stable=True)
    numbers = torch.arange(groups + 1, dtype=code.dtype, device=code.device)
    return Groups(order, code, torch.searchsorted(code, numbers))


def pack_rows(frame: Tensor, frames: int, width: int) -> PackedRows | None:
    """Arrange items in rows of ``width``, each of one frame, padded with repetitions.

    Waits for the device once.

    Args:
        frame: Of each item, any shape; ``frames`` where there is none.
        frames: How many there are.
        width: N.

    Returns:
        The :class:`PackedRows`; None if there are no items.
    """
    groups = sort_into_groups(frame, frames)
    counts = [stop - start for start, stop in pairwise(groups.bounds.tolist())]
    total = sum(counts)
    if total == 0:
        return None
    starts = list(accumulate((-(-count // width) for count in counts), initial=0))
    item, code = groups.order[:total], groups.code[:total]
    first, count = groups.bounds[:-1], groups.bounds.diff()
    rows = (count + width - 1).div(width, rounding_mode="floor")
    stop = rows.cumsum(0)
    owner = torch.searchsorted(stop, torch.arange(starts[-1], device=frame.device), right=True)
    start = (stop - rows) * width
    # The position within its frame's rows; what is beyond the frame's items repeats the last.
    offset = torch.arange(starts[-1] * width, device=frame.device).reshape(-1, width)
    offset = torch.minimum(offset - start[owner, None], count[owner, None] - 1)
    position = (start - first)[code] + torch.arange(total, device=frame.device)
    return PackedRows(item, code, first[owner, None] + offset, owner, position, starts)


def unravel(index: Tensor, shape: torch.Size) -> tuple[Tensor, ...]:
    """Return the coordinates of flat indices into ``shape``."""
    coordinates = []
    for size in reversed(shape[1:]):
        coordinates.append(index % size)
        index = index.div(size, rounding_mode="floor")
    return (index, *reversed(coordinates))


def blocks(ranges: list[tuple[int, int, int]], limit: int) -> Iterator[list[tuple[int, int, int]]]:
    """Cut ranges (start, stop, weight) of items into blocks of about ``limit`` in weight."""
    block: list[tuple[int, int, int]] = []
    room = limit
    for start, stop, weight in ranges:
        first = start
        while first < stop:
            last = min(stop, first + max(room // weight, 0 if block else 1))
            if last > first:
                block.append((first, last, weight))
            room -= (last - first) * weight
            first = last
            if first < stop:
                yield block
                block, room = [], limit
    if block:
        yield block
