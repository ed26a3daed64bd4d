"""Judge each frame of a sequence: whether it is aligned, and if not, why."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from diar_ops._types import Alignment, PairMatches, Reason
from diar_ops.pipeline._align.place import Placement, covered_grid
from diar_ops.pipeline._align.refine import QUANTILES


def judge_frames(
    pairs: PairMatches, placement: Placement, finite: Sequence[bool], reference: int, grid: Tensor | None = None
) -> Alignment:
    """Return the alignment of a sequence with the verdict on each frame.

    Every refusal of a sequence is one of these, in the order in which they are asked:

    - NOT_FINITE: the frame holds values that are not finite, and is matched with none.
    - TOO_FEW, COLLINEAR, CHANCE_LEVEL: no pair of it was verified; that of the pair with the most
      matches (:func:`ransac_homography`; its bounds are in ``geometry/_ransac/significance.py``).
    - IMPLAUSIBLE: likewise, but no camera makes that pair's homography (:func:`graph.is_plausible`).
    - UNCONNECTED: a pair was verified, but no path of such pairs leads to the reference; or no pair
      was matched, and no initial homography given.
    - PIXELS_DISAGREE: a path leads there, but refined on the pixels, the frame does not agree with
      its anchor (:data:`refine.RELIABILITY_BOUNDS`), or no camera makes the refined homography, or
      what agrees would agree of another picture of that layout, too (:func:`contest.contest`).
    - AMBIGUOUS: it fits elsewhere about as well (:func:`contest.contest`); or other pairs contradict
      the pair with the most matches (:func:`cycles.refuse_contradicted`).

    Args:
        pairs: The matched pairs, verified or not.
        placement: What became of the frames that a path of pairs leads to the reference.
        finite: Whether the values of each frame are finite.
        reference: The reference frame.
        grid: See :attr:`Alignment.grid`.
    """
    homography, lens, distortion_sigma = placement.adjusted
    sizes, count = lens.sizes, len(finite)
    success = torch.zeros(count, dtype=torch.bool)
    reason = _pair_reasons(pairs, count)
    overlap, spread = (
        torch.zeros(count, dtype=torch.float32),
        torch.full((count, len(QUANTILES)), float("nan"), dtype=torch.float32),
    )
    success[reference], reason[reference] = True, int(Reason.OK)
    for t, frame in placement.refined.items():
        success[t], spread[t] = frame.success, frame.spread
        reason[t] = int(Reason.OK if frame.success else frame.reason)
    for t in (*placement.placed, reference):
        overlap[t] = covered_grid(homography[t], t, sizes[reference], lens).double().mean()
    not_finite = ~torch.tensor(finite)
    success[not_finite], reason[not_finite] = False, int(Reason.NOT_FINITE)
    return Alignment(
        homography_reference_frame=homography,
        success=success,
        reason=reason,
        inliers=_most_inliers(pairs, count),
        overlap=overlap,
        reference=reference,
        size=sizes[reference],
        spread=spread,
        pairs=pairs,
        distortion=lens.distortion,
        distortion_sigma=distortion_sigma,
        grid=grid,
    )


def _pair_reasons(pairs: PairMatches, count: int) -> Tensor:
    """Return, for each frame, why its most promising pair failed; UNCONNECTED if one did not, or it has none."""
    reason = torch.full((count,), int(Reason.UNCONNECTED))
    most = torch.full((count,), -1)
    usable = pairs.matches.valid.sum(dim=1)
    for pair, number, pair_reason in zip(
        pairs.frames.tolist(), usable.tolist(), pairs.estimate.reason.tolist(), strict=True
    ):
        if pair_reason == Reason.OK:
            number, pair_reason = 1 << 40, int(Reason.UNCONNECTED)
        for t in pair:
            if number > most[t]:
                most[t], reason[t] = number, pair_reason
    return reason


def _most_inliers(pairs: PairMatches, count: int) -> Tensor:
    """Return (T,) int64, the inliers of each frame's best verified pair."""
    most = torch.zeros(count, dtype=torch.int64)
    support = pairs.estimate.inliers.sum(dim=1) * pairs.estimate.success
    for pair, number in zip(pairs.frames.tolist(), support.tolist(), strict=True):
        most[pair] = most[pair].clamp_min(number)
    return most
