"""The two normalisers of the dual softmax, blockwise in both passes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from diar_ops._batching import call_in_batch, register_batching
from diar_ops._custom_op import custom_op
from diar_ops.matching._mutual_nearest.nearest import augment, tiles

_Slices = tuple[slice, slice]


def _tile_slices(set0: Tensor, set1: Tensor) -> Iterator[tuple[_Slices, _Slices]]:
    """Yield the slices of both sets, (items, elements) each, whose product is a tile."""
    (B, N), M = set0.shape[:2], set1.shape[1]
    tb, tr, tc = tiles(B, N, M, set0.device)
    for b, i, j in itertools.product(range(0, B, tb), range(0, N, tr), range(0, M, tc)):
        items = slice(b, b + tb)
        yield (items, slice(i, i + tr)), (items, slice(j, j + tc))


@custom_op("dual_logsumexp")
def _dual_logsumexp(set0: Tensor, set1: Tensor) -> tuple[Tensor, Tensor]:
    lse0, lse1 = (x.new_full(x.shape[:2], -torch.inf) for x in (set0, set1))
    for rows, columns in _tile_slices(set0, set1):
        tile = set0[rows] @ set1[columns].transpose(1, 2)
        lse0[rows] = torch.logaddexp(lse0[rows], tile.logsumexp(2))
        lse1[columns] = torch.logaddexp(lse1[columns], tile.logsumexp(1))
    return lse0, lse1


@_dual_logsumexp.register_fake
def _(set0: Tensor, set1: Tensor) -> tuple[Tensor, Tensor]:
    return set0.new_empty(set0.shape[:2]), set1.new_empty(set1.shape[:2])


@custom_op("dual_logsumexp_backward")
def _backward(
    grad0: Tensor, grad1: Tensor, set0: Tensor, set1: Tensor, lse0: Tensor, lse1: Tensor
) -> tuple[Tensor, Tensor]:
    out0, out1 = torch.zeros_like(set0), torch.zeros_like(set1)
    for rows, columns in _tile_slices(set0, set1):
        logits = set0[rows] @ set1[columns].transpose(1, 2)
        share0 = (logits - lse0[rows].unsqueeze(2)).exp_() * grad0[rows].unsqueeze(2)
        share1 = (logits - lse1[columns].unsqueeze(1)).exp_() * grad1[columns].unsqueeze(1)
        share = share0.add_(share1)  # d / d logits
        out0[rows] += share @ set1[columns]
        out1[columns] += share.transpose(1, 2) @ set0[rows]
    return out0, out1


@_backward.register_fake
def _(grad0: Tensor, grad1: Tensor, set0: Tensor, set1: Tensor, lse0: Tensor, lse1: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(set0), torch.empty_like(set1)


register_batching(_dual_logsumexp)
register_batching(_backward)


class _DualLogSumExp(torch.autograd.Function):
    """The operator with its gradient. torch.func takes it in this form, not that of the operator's own."""

    @staticmethod
    def forward(set0: Tensor, set1: Tensor) -> tuple[Tensor, Tensor]:
        lse0, lse1 = _dual_logsumexp(set0, set1)
        return lse0, lse1

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(*inputs, *output)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad0: Tensor, grad1: Tensor) -> tuple[Tensor, Tensor]:
        out0, out1 = _backward(grad0, grad1, *ctx.saved_tensors)
        return out0, out1

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *sets: Tensor) -> tuple[Any, Any]:
        return call_in_batch(_DualLogSumExp.apply, info.batch_size, in_dims, sets)


def dual_logsumexp(logits0: Tensor, bias0: Tensor, logits1: Tensor, bias1: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logsumexp over each row and each column of ``logits0 . logits1 + biases``.

    The N x M logits exist only in tiles, which the backward pass computes again.

    Args:
        logits0: (B, N, C) float32 or float64, N >= 1.
        bias0: (B, N) finite.
        logits1: (B, M, C), M >= 1.
        bias1: (B, M) finite.

    Returns:
        (B, N) and (B, M), once differentiable.
    """
    sets = augment(logits0, bias0, logits1, bias1)
    lse0, lse1 = _DualLogSumExp.apply(*sets)  # type: ignore[no-untyped-call]
    return lse0, lse1
