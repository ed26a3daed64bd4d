"""Sorting of usable matches to the front, shared by RANSAC and the joint adjustment."""

from __future__ import annotations

import torch
from torch import Tensor


def usable_first(usable: Tensor) -> Tensor:
    """Return the order (B, N) that puts the usable ones of (B, N) first and keeps their order.

    A stable partition, without the cost of sorting.
    """
    count = usable.sum(1, keepdim=True)
    position = torch.where(usable, usable.cumsum(1) - 1, count - 1 + (~usable).cumsum(1))
    numbers = torch.arange(usable.shape[1], device=usable.device).expand_as(position)
    return torch.empty_like(position).scatter_(1, position, numbers)
