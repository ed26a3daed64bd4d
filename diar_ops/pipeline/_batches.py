"""Items of equal size go through a step together, as many as memory allows."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

import torch

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
