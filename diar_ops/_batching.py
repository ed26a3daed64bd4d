"""Operators of the library's own under ``torch.func.vmap``: mapped arguments become part of the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor


def call_in_batch(
    function: Callable[..., Any], size: int, in_dims: Sequence[int | None], args: Sequence[Any]
) -> tuple[Any, Any]:
    """Call a function of tensors (B, ...) on mapped ones with a batch of size * B; the batching rule.

    Args:
        function: Treats the items of the batch one by one.
        size: Of the mapped dimension.
        in_dims: Mapped dimension of each argument; ``None`` where it is not mapped.
        args: Tensors (B, ...), with the mapped dimension somewhere; what is no tensor is passed on.

    Returns:
        The outputs (size, B, ...), and 0 for each of them: the mapped dimension.
    """
    folded = [_fold(x, dim, size) if isinstance(x, Tensor) else x for x, dim in zip(args, in_dims, strict=True)]
    outputs = function(*folded)
    if isinstance(outputs, Tensor):
        return _unfold(outputs, size), 0
    return tuple(_unfold(x, size) for x in outputs), (0,) * len(outputs)


def register_batching(op: Any) -> None:
    """Give a custom operator of tensors (B, ...) the rule of :func:`call_in_batch`."""
    op.register_vmap(lambda info, in_dims, *args: call_in_batch(op, info.batch_size, in_dims, args))


def _fold(x: Tensor, dim: int | None, size: int) -> Tensor:
    x = x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)
    return x.flatten(0, 1)


def _unfold(x: Tensor, size: int) -> Tensor:
    return x.view(size, len(x) // size, *x.shape[1:])
