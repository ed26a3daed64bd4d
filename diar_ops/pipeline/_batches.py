"""Items of equal size go through a step together, as many as memory allows; on a CPU, side by side."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TypeVar

import torch

from diar_ops._threads import map_threads

Result = TypeVar("Result")

#: Elements of an intermediate result that may be in memory at a time.
MOST_ELEMENTS = 2**27


def batches(keys: Sequence[Hashable], elements: Sequence[int], device: torch.device) -> Iterator[list[int]]:
    """Yield the indices of items that go together: their keys are equal, their elements few enough.

    On a CPU each goes alone: together, photos of 256 pixels and more take as long, and an item that
    is finished waits for the slowest.

    Args:
        keys: Of the items, such as their sizes.
        elements: How many elements the largest intermediate result of each item has.
        device: Where they are computed.
    """
    budget = 0 if device.type == "cpu" else MOST_ELEMENTS
    groups: dict[Hashable, list[int]] = {}
    for index, key in enumerate(keys):
        groups.setdefault(key, []).append(index)
    for group in groups.values():
        step = max(1, budget // max(1, *(elements[i] for i in group)))
        for start in range(0, len(group), step):
            yield group[start : start + step]


def map_batches(
    function: Callable[[list[int]], Result], keys: Sequence[Hashable], elements: Sequence[int], device: torch.device
) -> Iterator[tuple[list[int], Result]]:
    """Yield :func:`batches`, and ``function`` of each; see :func:`map_threads`."""
    groups = list(batches(keys, elements, device))
    yield from zip(groups, map_threads(function, groups, device), strict=True)
