"""Adjust all frames that are in place jointly: each to the reference and to others beside it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from diar_ops._types import BundleAdjustment
from diar_ops.geometry import bundle_adjust_homographies, refine_homography
from diar_ops.pipeline._frames import WorkingCopy
from diar_ops.pipeline._graph import plausible
from diar_ops.pipeline._refine import LEAST_AGREEMENT, Refined, full_resolution

__all__ = ["adjust_jointly", "trusted"]

#: Frames that each frame is compared with beside the one it was laid over.
NEIGHBOURS = 3
#: Most matches of a pair: more add time, not accuracy.
MOST_MATCHES = 2000
#: A pair shares at least this part of the reference.
LEAST_SHARED = 0.1


def adjust_jointly(
    placed: dict[int, Refined],
    reference: int,
    shown: dict[int, Tensor],
    sizes: list[tuple[int, int]],
    copy_of: Callable[[int], WorkingCopy],
    progress: Callable[[str, int, int], None],
) -> BundleAdjustment | None:
    """Compare frames that lie over each other, and adjust all homographies.

    What hides a part of the reference, or glares there, leaves a frame loosely tied to it. Other
    frames show that part.

    Args:
        placed: Frames that agree with what they were laid over, beside the reference.
        reference: The reference.
        shown: Which points of a grid on the reference each of them shows, (n,) bool.
        sizes: (height, width) of every frame.
        copy_of: Returns the working copy of a frame.
        progress: Called with (name of the step, done, in all).

    Returns:
        :class:`BundleAdjustment` of all frames, in full-resolution pixels, without ``success`` for
        those that no others tie; ``None`` if there is nothing to adjust.
    """
    pairs = _neighbours(shown, placed)
    if not pairs:
        return None
    homography = torch.eye(3, dtype=torch.float64).repeat(len(sizes), 1, 1)
    for t, refined in placed.items():
        homography[t] = refined.homography_reference_frame
    rows = [(t, refined.anchor) for t, refined in placed.items()]
    points = [refined.points for refined in placed.values()]
    for done, (i, j) in enumerate(pairs):
        found = _compare(copy_of(i), copy_of(j), torch.linalg.inv(homography[j]) @ homography[i])
        if found is not None:
            rows.append((i, j))
            points.append(found)
        progress("adjusting jointly", done + 1, len(pairs))
    nan = float("nan")
    points0, points1 = (
        pad_sequence([_thin(p) for p in side], batch_first=True, padding_value=nan)
        for side in zip(*points, strict=True)
    )
    return bundle_adjust_homographies(
        torch.tensor(rows), points0, points1, homography, torch.tensor(sizes), reference=reference
    )


def trusted(adjusted: BundleAdjustment, t: int, size: tuple[int, int]) -> bool:
    """Return whether the adjusted homography of frame ``t`` can replace the one it had."""
    return bool(adjusted.success[t]) and plausible(adjusted.homography[t], size)


def _neighbours(shown: dict[int, Tensor], placed: dict[int, Refined]) -> list[tuple[int, int]]:
    """Return each frame with those that share most of what it shows, but those of a pair before."""
    pairs = set()
    for t in shown:
        shared = {p: float((shown[t] & shown[p]).double().mean()) for p in shown if p != t}
        enough = [p for p in shared if shared[p] >= LEAST_SHARED]
        for p in sorted(enough, key=lambda p: (-shared[p], p))[:NEIGHBOURS]:
            if p != placed[t].anchor and t != placed[p].anchor:
                pairs.add((min(t, p), max(t, p)))
    return sorted(pairs)


def _compare(one: WorkingCopy, other: WorkingCopy, H: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return where two frames show the same, in their full-resolution pixels."""
    H = other.working_full @ H @ torch.linalg.inv(one.working_full)
    found = refine_homography(
        one.image, other.image, H[None].to(one.image.device), one.valid, other.valid, levels=1
    )
    if not bool(found.success) or float(found.agreement) < LEAST_AGREEMENT:
        return None
    return full_resolution(found.matches, one, other)


def _thin(points: Tensor) -> Tensor:
    """Return at most :data:`MOST_MATCHES` of (N, 2), evenly over the picture."""
    if len(points) <= MOST_MATCHES:
        return points
    return points[torch.linspace(0, len(points) - 1, MOST_MATCHES).long()]
