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


def chosen_first(chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Return indices (B, W) of the chosen ones of (B, N), in their order, and (B, W) which are real.

    W is the largest number of any row, N on a GPU, which would have to wait for the number; the
    others are padded with indices that are not ``real``.
    """
    number = chosen.shape[1]
    rank = chosen.cumsum(-1)
    total = rank[:, -1:]
    width = int(total.max()) if chosen.device.type == "cpu" and rank.numel() else number
    column = (rank - 1).masked_fill_(~chosen, width)
    numbers = torch.arange(number, device=chosen.device).expand_as(rank)
    kept = torch.zeros(len(chosen), width + 1, dtype=torch.int64, device=chosen.device)
    return kept.scatter_(1, column, numbers)[:, :width], torch.arange(width, device=chosen.device) < total
