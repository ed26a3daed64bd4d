"""Sort a few large tensors elementwise, without a general sort."""

from __future__ import annotations

import torch
from torch import Tensor


def comparators(count: int, ranks: tuple[int, ...] | None = None) -> tuple[tuple[int, int], ...]:
    """Return Batcher's odd-even merge sort network of ``count`` wires.

    Args:
        count: Number of wires, at least 1.
        ranks: Ranks that are read afterwards; comparators that cannot reach them are left out.
            ``None`` keeps all.

    Returns:
        Pairs (i, j), i < j, in order: each puts the smaller value on wire i.

    Source: Knuth, The Art of Computer Programming, vol. 3, 5.2.2, algorithm M.
    """
    pairs = []
    half = 1
    while half < count:
        step = half
        while step >= 1:
            for start in range(step % half, count - step, 2 * step):
                for i in range(start, min(start + step, count - step)):
                    if i // (2 * half) == (i + step) // (2 * half):
                        pairs.append((i, i + step))
            step //= 2
        half *= 2
    if ranks is None:
        return tuple(pairs)
    live, kept = set(ranks), []
    for i, j in reversed(pairs):
        if i in live or j in live:
            live |= {i, j}
            kept.append((i, j))
    return tuple(reversed(kept))


def sort_slices(slices: list[Tensor], ranks: tuple[int, ...] | None = None) -> list[Tensor]:
    """Return the slices sorted elementwise, smallest first; exact at ``ranks``."""
    slices = list(slices)
    for i, j in comparators(len(slices), ranks):
        low = torch.minimum(slices[i], slices[j])
        slices[j] = torch.maximum(slices[i], slices[j])
        slices[i] = low
    return slices
