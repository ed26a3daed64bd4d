"""Softmax-weighted mean over frames."""

from __future__ import annotations

from typing import Literal, overload

import torch
from torch import Tensor

from diar_ops._checks import check_floating, check_option, check_shapes, is_number, solve_dtype
from diar_ops._errors import ShapeError
from diar_ops._module import OpModule
from diar_ops.aggregate._frames import check_frames, usable_frames


@overload
def softmax_aggregate(
    features: Tensor,
    logits: Tensor,
    valid: Tensor | None = None,
    *,
    temperature: float = 1.0,
    return_weights: Literal[False] = False,
) -> Tensor: ...
@overload
def softmax_aggregate(
    features: Tensor,
    logits: Tensor,
    valid: Tensor | None = None,
    *,
    temperature: float = 1.0,
    return_weights: Literal[True],
) -> tuple[Tensor, Tensor]: ...
@overload
def softmax_aggregate(
    features: Tensor, logits: Tensor, valid: Tensor | None = None, *, temperature: float = 1.0, return_weights: bool
) -> Tensor | tuple[Tensor, Tensor]: ...


def softmax_aggregate(
    features: Tensor,
    logits: Tensor,
    valid: Tensor | None = None,
    *,
    temperature: float = 1.0,
    return_weights: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Average the frames of each pixel with the weights softmax over T of logits / temperature.

    A frame counts at a pixel where it is valid, finite in all channels, and its logit is finite;
    the softmax runs over those that count. Where none counts, the output is 0 with zero gradient.
    Permuting features, logits and valid together changes nothing.

    Args:
        features: (B, T, C, H, W) floating point, any T >= 1.
        logits: (B, T, C, H, W) or (B, T, 1, H, W) floating point: per channel, or shared by all.
        valid: Optional (B, T, 1, H, W) bool.
        temperature: Positive; towards 0 the frame with the largest logit wins.
        return_weights: Also return the weights.

    Returns:
        (B, C, H, W) in the dtype of ``features``; with ``return_weights`` also weights of the
        shape of ``logits``, whose products with the features sum to the output over T.

    Raises:
        ShapeError: A shape does not fit, or T is 0.
        DtypeError: ``features`` or ``logits`` is not floating point or ``valid`` not bool.
        OptionError: ``temperature`` is not positive.

    Source: the weighted aggregation of deep aligned sequences: weights from one embedding,
    applied to the original one.
    """
    op = "softmax_aggregate"
    check_frames(op, features, valid)
    channels = check_shapes(
        op, features=(features, "B T C H W"), logits=(logits, "B T L H W"), valid=(valid, "? B T 1 H W")
    )["C"]
    if logits.shape[2] != 1 and logits.shape[2] != channels:
        raise ShapeError(f"{op}: logits must have 1 or {channels} channels like features, got {list(logits.shape)}")
    check_floating(op, logits=logits)
    check_option(op, is_number(temperature) and temperature > 0, "a positive temperature", temperature)
    dtype = features.dtype
    clean, usable = usable_frames(features, valid)
    counts = logits.isfinite() if usable is None else logits.isfinite() & usable
    # The lowest finite number instead of -inf: exp makes it exactly 0 next to any logit that
    # counts, and a pixel without one gets finite weights, which the last product removes. The
    # largest logit goes before the division, which could overflow.
    lowest = torch.finfo(clean.dtype).min
    exact = torch.promote_types(solve_dtype(logits.dtype), clean.dtype)
    finite = torch.where(counts, logits, 0).to(exact)
    floor = torch.finfo(finite.dtype).min
    largest = torch.where(counts, finite.detach(), floor).amax(dim=1, keepdim=True)
    relative = ((finite - largest) / temperature).clamp(min=lowest).to(clean.dtype)
    scaled = torch.where(counts, relative, lowest)
    weights = scaled.softmax(dim=1) * counts
    out = (weights * clean).sum(1).to(dtype)
    return (out, weights.to(dtype)) if return_weights else out


class SoftmaxAggregate(OpModule):
    """See :func:`softmax_aggregate`."""

    def __init__(self, *, temperature: float = 1.0, return_weights: bool = False) -> None:
        super().__init__()
        self.temperature = temperature
        self.return_weights = return_weights

    def forward(self, features: Tensor, logits: Tensor, valid: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Aggregate (B, T, C, H, W) to (B, C, H, W)."""
        return softmax_aggregate(
            features, logits, valid, temperature=self.temperature, return_weights=self.return_weights
        )
