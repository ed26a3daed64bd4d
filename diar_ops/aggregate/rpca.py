"""Robust PCA over frames."""

from __future__ import annotations

import math
from typing import Literal, overload

import torch
from torch import Tensor

from diar_ops._checks import check_no_gradient, check_option, full_precision, is_integer, is_number
from diar_ops._module import OpModule
from diar_ops.aggregate._frames import check_frames, usable_frames
from diar_ops.aggregate._rpca.alm import low_rank_part


@overload
def rpca_aggregate(
    features: Tensor,
    valid: Tensor | None = None,
    *,
    sparsity: float | None = None,
    tolerance: float = 1e-5,
    max_iterations: int = 100,
    return_low_rank: Literal[False] = False,
) -> Tensor: ...
@overload
def rpca_aggregate(
    features: Tensor,
    valid: Tensor | None = None,
    *,
    sparsity: float | None = None,
    tolerance: float = 1e-5,
    max_iterations: int = 100,
    return_low_rank: bool,
) -> Tensor | tuple[Tensor, Tensor]: ...


@full_precision
def rpca_aggregate(
    features: Tensor,
    valid: Tensor | None = None,
    *,
    sparsity: float | None = None,
    tolerance: float = 1e-5,
    max_iterations: int = 100,
    return_low_rank: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    r"""Average the low-rank part of the frames, without what is sparse in each.

    The frames of an item, all channels stacked, are the T columns of a matrix D with C * H * W
    rows, which is split into D = L + S by

    .. math:: \min_{L, S} \|L\|_* + \lambda \|S\|_1

    Occluders, highlights and shadows are left in S, gains per frame in L. A frame counts at a
    pixel where it is valid and finite in all channels; elsewhere its entries of S cost nothing,
    so that L is completed there from the other entries. The output is the mean of L over the
    frames that count at the pixel, 0 where none does. The order of the frames does not matter.

    The optimum itself clips entries of L that exceed about sqrt(T) times the root mean square of
    the frames: with two or three frames, the brightest parts of a picture lose contrast. A single
    frame is returned as it is.

    Args:
        features: (B, T, C, H, W) floating point, any T >= 1.
        valid: Optional (B, T, 1, H, W) bool.
        sparsity: lambda; ``None`` means 1 / sqrt(max(T, C * H * W)).
        tolerance: Frobenius norm of D - L - S over that of D at which the iteration ends.
            In float32 about 1e-7 is the least that can be reached.
        max_iterations: Most iterations; the penalty grows so that about 40 reach 1e-7.
        return_low_rank: Also return L.

    Returns:
        (B, C, H, W) in the same dtype; with ``return_low_rank`` also L (B, T, C, H, W), 0 at
        pixels and in frames that have nothing valid. Without a gradient: the solution is found
        by an iteration of unknown length. On a GPU the call waits in every eighth iteration.

    Raises:
        ShapeError: A shape does not fit, or T is 0.
        DtypeError: ``features`` is not floating point or asks for a gradient, or ``valid`` is not bool.
        OptionError: ``sparsity`` or ``tolerance`` is not positive, or ``max_iterations`` < 1.

    Source: Candes, Li, Ma and Wright, "Robust principal component analysis?", 2011; inexact ALM:
    Lin, Chen and Ma, arXiv:1009.5055, algorithm 5.
    """
    op = "rpca_aggregate"
    check_frames(op, features, valid)
    check_no_gradient(op, features=features)
    check_option(op, sparsity is None or (is_number(sparsity) and sparsity > 0), "sparsity > 0 or None", sparsity)
    check_option(op, is_number(tolerance) and tolerance > 0, "tolerance > 0", tolerance)
    check_option(op, is_integer(max_iterations) and max_iterations >= 1, "max_iterations >= 1", max_iterations)
    dtype = features.dtype
    _, T, C, H, W = features.shape
    if sparsity is None:
        sparsity = 1 / math.sqrt(max(T, C * H * W))
    with torch.no_grad():
        clean, usable = usable_frames(features, valid)
        low_rank = clean.clone() if T == 1 else clean
        if T > 1:
            low_rank = low_rank_part(
                clean.flatten(3), None if usable is None else usable.flatten(3), sparsity, tolerance, max_iterations
            ).view_as(clean)
        if usable is None:
            image = low_rank.mean(1)
        else:
            # Next to frames without any valid pixel, a single frame stays as it is, too.
            alone = usable.flatten(2).any(2).sum(1).view(-1, 1, 1, 1, 1) <= 1
            low_rank = torch.where(alone, clean, low_rank)
            count = usable.sum(1)
            image = torch.where(usable, low_rank, 0).sum(1) / count.clamp_min(1)
    return (image.to(dtype), low_rank.to(dtype)) if return_low_rank else image.to(dtype)


class RPCAAggregate(OpModule):
    """See :func:`rpca_aggregate`."""

    def __init__(
        self,
        *,
        sparsity: float | None = None,
        tolerance: float = 1e-5,
        max_iterations: int = 100,
        return_low_rank: bool = False,
    ) -> None:
        super().__init__()
        self.sparsity = sparsity
        self.tolerance = tolerance
        self.max_iterations = max_iterations
        self.return_low_rank = return_low_rank

    def forward(self, features: Tensor, valid: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Aggregate (B, T, C, H, W) to (B, C, H, W)."""
        return rpca_aggregate(
            features,
            valid,
            sparsity=self.sparsity,
            tolerance=self.tolerance,
            max_iterations=self.max_iterations,
            return_low_rank=self.return_low_rank,
        )
