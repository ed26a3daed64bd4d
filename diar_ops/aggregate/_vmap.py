"""Folding of vmapped arguments into the batch, shared by the custom ops of this package."""

from __future__ import annotations

from torch import Tensor


def fold_into_batch(x: Tensor | None, dim: int | None, size: int) -> Tensor | None:
    """Return (size * B, ...) of a tensor (B, ...) that is mapped along ``dim``, or not at all."""
    if x is None:
        return None
    x = x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)
    return x.flatten(0, 1)


def unfold_batch(x: Tensor, size: int) -> tuple[Tensor, int]:
    """Return (size, B, ...) of (size * B, ...), and the mapped dimension, 0."""
    return x.view(size, len(x) // size, *x.shape[1:]), 0
