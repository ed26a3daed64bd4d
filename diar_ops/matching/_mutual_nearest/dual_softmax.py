"""The two normalisers of the dual softmax, blockwise in both passes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from diar_ops.matching._mutual_nearest.nearest import augment, tiles

__all__ = ["dual_logsumexp"]


@torch.library.custom_op("diar_ops::dual_logsumexp", mutates_args=())
def _dual_logsumexp(set0: Tensor, set1: Tensor) -> tuple[Tensor, Tensor]:
    B, N, M = set0.shape[0], set0.shape[1], set1.shape[1]
    lse0, lse1 = (set0.new_full((B, n), -torch.inf) for n in (N, M))
    tb, tr, tc = tiles(B, N, M, set0.device)
    for b in range(0, B, tb):
        for i in range(0, N, tr):
            for j in range(0, M, tc):
                at0, at1 = (
                    (slice(b, b + tb), slice(i, i + tr)),
                    (slice(b, b + tb), slice(j, j + tc)),
                )
                tile = set0[at0] @ set1[at1].transpose(1, 2)
                lse0[at0] = torch.logaddexp(lse0[at0], tile.logsumexp(2))
                lse1[at1] = torch.logaddexp(lse1[at1], tile.logsumexp(1))
    return lse0, lse1


@_dual_logsumexp.register_fake
def _(set0: Tensor, set1: Tensor) -> tuple[Tensor, Tensor]:
    return set0.new_empty(set0.shape[:2]), set1.new_empty(set1.shape[:2])


@torch.library.custom_op("diar_ops::dual_logsumexp_backward", mutates_args=())
def _backward(
    grad0: Tensor, grad1: Tensor, set0: Tensor, set1: Tensor, lse0: Tensor, lse1: Tensor
) -> tuple[Tensor, Tensor]:
    out0, out1 = torch.zeros_like(set0), torch.zeros_like(set1)
    tb, tr, tc = tiles(set0.shape[0], set0.shape[1], set1.shape[1], set0.device)
    for b in range(0, set0.shape[0], tb):
        for i in range(0, set0.shape[1], tr):
            for j in range(0, set1.shape[1], tc):
                at0, at1 = (
                    (slice(b, b + tb), slice(i, i + tr)),
                    (slice(b, b + tb), slice(j, j + tc)),
                )
                logits = set0[at0] @ set1[at1].transpose(1, 2)
                share0 = (logits - lse0[at0].unsqueeze(2)).exp_() * grad0[at0].unsqueeze(2)
                share1 = (logits - lse1[at1].unsqueeze(1)).exp_() * grad1[at1].unsqueeze(1)
                share = share0.add_(share1)  # d / d logits
                out0[at0] += share @ set1[at1]
                out1[at1] += share.transpose(1, 2) @ set0[at0]
    return out0, out1


@_backward.register_fake
def _(
    grad0: Tensor, grad1: Tensor, set0: Tensor, set1: Tensor, lse0: Tensor, lse1: Tensor
) -> tuple[Tensor, Tensor]:
    return torch.empty_like(set0), torch.empty_like(set1)


def _save(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs, *output)


def _differentiate(ctx: Any, grad0: Tensor, grad1: Tensor) -> tuple[Tensor, Tensor]:
    out0, out1 = _backward(grad0, grad1, *ctx.saved_tensors)
    return out0, out1


_dual_logsumexp.register_autograd(_differentiate, setup_context=_save)


def dual_logsumexp(
    logits0: Tensor, bias0: Tensor, logits1: Tensor, bias1: Tensor
) -> tuple[Tensor, Tensor]:
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
    lse0, lse1 = _dual_logsumexp(*augment(logits0, bias0, logits1, bias1))
    return lse0, lse1
