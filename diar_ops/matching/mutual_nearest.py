"""Mutual nearest neighbours of two descriptor sets, in memory that grows as N + M."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._checks import (
    check_bool,
    check_floating,
    check_option,
    check_shapes,
    full_precision,
    is_finite,
    is_number,
    solve_dtype,
)
from diar_ops._errors import DtypeError
from diar_ops._module import OpModule
from diar_ops.matching._mutual_nearest.dual_softmax import dual_logsumexp
from diar_ops.matching._mutual_nearest.nearest import Nearest, nearest_both_ways
from diar_ops.matching._unit import pick_descriptors, unit_descriptors


class NearestPairs(NamedTuple):
    """The partner of every descriptor of set 0.

    Attributes:
        index1: (B, N) int64 into set 1. Where ``valid`` is False it is still an index that can be
            gathered (of the best partner, mutual or not, or 0 without one).
        score: (B, N) similarity of the pair, differentiable with respect to both sets; 0 where
            ``valid`` is False.
        valid: (B, N) bool.
    """

    index1: Tensor
    score: Tensor
    valid: Tensor


@full_precision
def mutual_nearest(
    descriptors0: Tensor,
    descriptors1: Tensor,
    valid0: Tensor | None = None,
    valid1: Tensor | None = None,
    *,
    threshold: float | None = None,
    ratio: float | None = None,
    temperature: float | None = None,
) -> NearestPairs:
    """Match two descriptor sets: pairs that choose each other by cosine similarity.

    The N x M similarities are never held; the search itself is not differentiated, the scores of
    the pairs that it finds are. Among equal similarities the lowest index wins, in both
    directions. Descriptors that are zero or not finite match nothing.

    Args:
        descriptors0: (B, N, C) floating point; their length does not matter.
        descriptors1: (B, M, C), same dtype.
        valid0: Optional (B, N) bool; False marks descriptors that must not be matched.
        valid1: Optional (B, M) bool.
        threshold: Keep pairs whose score is at least this.
        ratio: Keep pairs whose distance is below ``ratio`` times the distance to the second
            best, from either side; the distance is Euclidean, of unit-length descriptors.
            [Lowe, Distinctive image features from scale-invariant keypoints, 2004, section 7.1]
        temperature: Score and choose pairs by the dual softmax instead: the probability of the
            partner among all of set 1, times that among all of set 0, at similarity /
            ``temperature``. Gradients then reach all descriptors.
            [Rocco et al., Neighbourhood consensus networks, 2018, section 3.3; as in Sun et al.,
            LoFTR, 2021, equation 2]

    Returns:
        :class:`NearestPairs`; the score is the cosine, or with ``temperature`` the probability,
        in the dtype of ``descriptors0``. A descriptor in set 1 is used at most once.

    Raises:
        ShapeError: A shape does not fit.
        DtypeError: Descriptors are not floating point or differ in dtype, a mask is not bool.
        DeviceError: The tensors are on different devices.
        OptionError: ``ratio`` is outside (0, 1], ``temperature`` is not positive, ``threshold``
            is not finite, or ``ratio`` and ``temperature`` are both given.

    Example:
        >>> descriptors0 = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.2, 1.0]]])
        >>> descriptors1 = torch.tensor([[[0.0, 5.0], [5.0, 0.0]]])
        >>> pairs = mutual_nearest(descriptors0, descriptors1)
        >>> pairs.index1, pairs.valid  # the last one is not chosen back
        (tensor([[1, 0, 0]]), tensor([[ True,  True, False]]))
    """
    sizes = check_shapes(
        "mutual_nearest",
        descriptors0=(descriptors0, "B N C"),
        descriptors1=(descriptors1, "B M C"),
        valid0=(valid0, "? B N"),
        valid1=(valid1, "? B M"),
    )
    check_floating("mutual_nearest", descriptors0=descriptors0, descriptors1=descriptors1)
    check_bool("mutual_nearest", valid0=valid0, valid1=valid1)
    if descriptors0.dtype != descriptors1.dtype:
        raise DtypeError(
            f"mutual_nearest: descriptors1 must be {descriptors0.dtype} as descriptors0, got {descriptors1.dtype}"
        )
    check_match_options("mutual_nearest", threshold, ratio, temperature)
    dtype = solve_dtype(descriptors0.dtype)
    unit0, usable0 = unit_descriptors(descriptors0.to(dtype), 2)
    unit1, usable1 = unit_descriptors(descriptors1.to(dtype), 2)
    usable0 = usable0 if valid0 is None else usable0 & valid0
    usable1 = usable1 if valid1 is None else usable1 & valid1
    if sizes["N"] == 0 or sizes["M"] == 0:
        no_match = usable0.new_zeros(usable0.shape)
        score = (unit0.sum(2) * 0 + unit1.sum() * 0).to(descriptors0.dtype)
        return NearestPairs(no_match.long(), score, no_match)

    # An unusable element stays in place, below every usable one.
    excluded = -4.0 if temperature is None else -(8.0 / temperature + 1e3)
    bias0, bias1 = (torch.where(u, 0.0, excluded).to(dtype) for u in (usable0, usable1))
    if temperature is None:
        nearest = nearest_both_ways(unit0, bias0, unit1, bias1, second=ratio is not None)
    else:
        lse0, lse1 = dual_logsumexp(unit0 / temperature, bias0, unit1, bias1)
        # An unusable element's own sum is as low as its bias: subtracted, it would open it again.
        search0, search1 = (
            torch.where(usable, -lse, bias) for usable, lse, bias in ((usable0, lse0, bias0), (usable1, lse1, bias1))
        )
        nearest = nearest_both_ways(unit0 * (2 / temperature), search0, unit1, search1)

    index1 = nearest.index0
    mutual = nearest.index1.gather(1, index1) == torch.arange(sizes["N"], device=index1.device)
    valid = mutual & usable0 & usable1.gather(1, index1)
    score = (unit0 * pick_descriptors(unit1, index1)).sum(2)
    if temperature is not None:
        logit = 2 / temperature * score - lse0 - lse1.gather(1, index1)
        # Rounding may lift the logarithm of a probability above 0.
        score = torch.where(valid, logit.clamp_max(0.0), -torch.inf).exp()
    if ratio is not None:
        valid = valid & _passes_ratio(nearest, ratio)
    if threshold is not None:
        valid = valid & (score.detach() >= threshold)
    return NearestPairs(index1, torch.where(valid, score, 0).to(descriptors0.dtype), valid)


def check_match_options(op: str, threshold: float | None, ratio: float | None, temperature: float | None) -> None:
    """Raise ``OptionError`` for values that no matcher takes."""
    if threshold is not None:
        check_option(op, is_finite(threshold), "a finite threshold", threshold)
    if ratio is not None:
        check_option(op, is_number(ratio) and 0 < ratio <= 1, "a ratio in (0, 1]", ratio)
        check_option(
            op,
            temperature is None,
            "either a ratio (of distances) or a temperature (for probabilities), not both",
            (ratio, temperature),
        )
    if temperature is not None:
        check_option(op, is_finite(temperature) and temperature > 0, "a positive temperature", temperature)


def _passes_ratio(nearest: Nearest, ratio: float) -> Tensor:
    passes0 = _distinct(nearest.best0, nearest.second0, ratio)
    passes1 = _distinct(nearest.best1, nearest.second1, ratio)
    return passes0 & passes1.gather(1, nearest.index0)


def _distinct(best: Tensor, second: Tensor, ratio: float) -> Tensor:
    """Return which best similarities pass Lowe's ratio test."""
    # Squared distance of unit descriptors: 2 - 2 cos. Below -2 lie only unusable elements, and a
    # descriptor without a usable rival is distinct.
    rival = torch.where(second < -2, torch.inf, (2 - 2 * second).clamp(min=0))
    return (2 - 2 * best).clamp(min=0) < ratio**2 * rival


class MutualNearest(OpModule):
    """See :func:`mutual_nearest`."""

    def __init__(
        self, *, threshold: float | None = None, ratio: float | None = None, temperature: float | None = None
    ) -> None:
        super().__init__()
        check_match_options("MutualNearest", threshold, ratio, temperature)
        self.threshold = threshold
        self.ratio = ratio
        self.temperature = temperature

    def forward(
        self, descriptors0: Tensor, descriptors1: Tensor, valid0: Tensor | None = None, valid1: Tensor | None = None
    ) -> NearestPairs:
        """See :func:`mutual_nearest`."""
        return mutual_nearest(
            descriptors0,
            descriptors1,
            valid0,
            valid1,
            threshold=self.threshold,
            ratio=self.ratio,
            temperature=self.temperature,
        )
