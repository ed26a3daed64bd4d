"""Numbers read from tensors to decide what to run, where that is possible at all."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["read_number"]


def read_number(value: Tensor) -> float | None:
    """Return the number in a 0-d tensor, or ``None`` under ``torch.compile`` and ``vmap``.

    On a GPU this waits for everything before it: callers say in their docstring that they do so.
    """
    if torch.compiler.is_compiling():
        return None
    try:
        return float(value.item())
    except RuntimeError:  # vmap: there is one number per mapped item
        return None
