"""Items of equal size go through a step together, as many as memory allows."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

import torch

#: Elements of an intermediate result that may be in memory at a time. A processor gains nothing from
#: more than what hides the cost of a call; an accelerator is idle with less.
CPU_ELEMENTS, DEVICE_ELEMENTS = 2**16, 2**27


def batches(keys: Sequence[Hashable], elements: Sequence[int], device: torch.device) -> Iterator[list[int]]:
    """Yield the indices of items that go together: their keys are equal, their elements few enough.

    Args:
        keys: Of the items, such as their sizes.
        elements: How many elements the largest intermediate result of each item has.
        device: Where they are computed.
    """
    budget = CPU_ELEMENTS if device.type == "cpu" else DEVICE_ELEMENTS
    groups: dict[Hashable, list[int]] = {}
    for index, key in enumerate(keys):
        groups.setdefault(key, []).append(index)
    for group in groups.values():
        step = max(1, budget // max(1, *(elements[i] for i in group), 1))
        for start in range(0, len(group), step):
            yield group[start : start + step]
