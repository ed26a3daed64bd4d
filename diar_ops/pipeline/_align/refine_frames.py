"""Refine the homographies of all frames of a sequence, each against a frame that is in its place."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from diar_ops._pixels import image_size
from diar_ops._threads import map_threads
from diar_ops._types import PairMatches, RefinedHomography
from diar_ops.pipeline._align.graph import shared_share
from diar_ops.pipeline._align.match import Descriptor
from diar_ops.pipeline._align.refine import Anchor, PairOfFrames, RefinedFrame, refine_frame, refine_pairs
from diar_ops.pipeline._frames import Progress, WorkingCopies, WorkingCopy, silent, split_generator

#: Placed frames that a refused one is tried over, those with most support.
_ANCHORS = 2
#: Frames that share less with the reference are tried over others first: a rim fixes their rest loosely.
_LEAST_SHARED = 0.3


def refine_frames(
    initial: Mapping[int, Tensor],
    pairs: PairMatches,
    reference: int,
    copies: WorkingCopies,
    *,
    descriptor: Descriptor,
    generator: torch.Generator | None = None,
    progress: Progress = silent,
) -> dict[int, RefinedFrame]:
    """Refine every frame that has an initial homography.

    A frame is refined against the reference. One that shares little with it may share more with a
    frame already in place; each frame placed this way may be the anchor of the next. So may
    one that fits several places of the reference: others tell which is right.

    Args:
        initial: ``homography_reference_frame`` by frame, right to some pixels.
        pairs: The verified pairs, in full-resolution pixels.
        reference: The reference frame.
        copies: The working copies of the frames.
        descriptor: See :class:`Anchor`.
        generator: Source of randomness.
        progress: Called with the progress of the step.

    Returns:
        The result for each frame but the reference.
    """
    others = sorted(set(initial) - {reference})
    if not others:
        return {}
    refined: dict[int, RefinedFrame] = {}
    anchor = Anchor(reference, copies[reference], torch.eye(3, dtype=torch.float64), descriptor)
    sizes = [image_size(frame.image) for frame in copies.frames]
    far = {t for t in others if shared_share(initial[t], sizes[t], sizes[reference]) < _LEAST_SHARED}
    tried: set[tuple[int, int]] = set()

    def refine_over_reference(members: list[int]) -> None:
        straight: dict[int, RefinedHomography] = {}
        if copies.device.type != "cpu":  # together; on a CPU each frame goes its whole way alone
            pairs_of_frames = [PairOfFrames(t, reference, initial[t]) for t in members]
            straight = {members[i]: found for i, found in refine_pairs(pairs_of_frames, copies)}

        def refine(item: tuple[int, torch.Generator]) -> RefinedFrame:
            t, drawn = item
            return _refine_either_way_up(copies[t], anchor, initial[t], drawn, straight.get(t))

        items = zip(members, split_generator(generator, len(members)), strict=True)
        for t, frame in zip(members, map_threads(refine, items, copies.device), strict=True):
            refined[t] = frame
            progress("refining", len(refined), len(others))

    for members in ([t for t in others if t not in far], sorted(far)):
        refine_over_reference([t for t in members if t not in refined])
        _refine_over_placed(refined, others, pairs, copies, tried, descriptor=descriptor, generator=generator)
    if far:
        progress("refining", len(others), len(others))
    return refined


def _refine_over_placed(
    refined: dict[int, RefinedFrame],
    others: list[int],
    pairs: PairMatches,
    copies: WorkingCopies,
    tried: set[tuple[int, int]],
    *,
    descriptor: Descriptor,
    generator: torch.Generator | None,
) -> None:
    """Refine frames that are not placed over those that are; as long as one more is, into ``refined``."""
    placed_one = True
    while placed_one:
        placed_one = False
        for t in [t for t in others if t not in refined or not refined[t].success]:
            steps = _supported_steps(pairs, t, {p for p, frame in refined.items() if frame.success})
            for p, homography_p_t in steps[:_ANCHORS]:
                if (t, p) in tried:
                    continue
                tried.add((t, p))
                anchor = Anchor(p, copies[p], refined[p].homography_reference_frame, descriptor)
                result = refine_frame(copies[t], anchor, homography_p_t, generator)
                if result.success:
                    refined[t] = result
                    placed_one = True
                    break


def _refine_either_way_up(
    copy: WorkingCopy,
    anchor: Anchor,
    homography_anchor_frame: Tensor,
    generator: torch.Generator | None,
    straight: RefinedHomography | None,
) -> RefinedFrame:
    """Refine a frame; where that fails, upside down: lines of text and tiles match both ways."""
    result = refine_frame(copy, anchor, homography_anchor_frame, generator, straight)
    if result.success:
        return result
    height, width = copy.size
    upside_down = torch.tensor([[-1.0, 0, width - 1], [0, -1, height - 1], [0, 0, 1]], dtype=torch.float64)
    turn = torch.linalg.inv(copy.homography_copy_frame) @ upside_down @ copy.homography_copy_frame
    again = refine_frame(copy, anchor, homography_anchor_frame @ turn, generator)
    return again if again.success else result


def _supported_steps(pairs: PairMatches, frame: int, placed: set[int]) -> list[tuple[int, Tensor]]:
    """Return the placed frames p that pairs tie a frame to, with ``homography_p_frame``; best support first."""
    steps = []
    support = (pairs.estimate.inliers.sum(dim=1) * pairs.estimate.success).tolist()
    for (i, j), homography_j_i, count in zip(pairs.frames.tolist(), pairs.estimate.homography, support, strict=True):
        if count > 0 and i == frame and j in placed:
            steps.append((count, j, homography_j_i))
        elif count > 0 and j == frame and i in placed:
            steps.append((count, i, torch.linalg.inv(homography_j_i)))
    return [(p, H) for _, p, H in sorted(steps, key=lambda step: (-step[0], step[1]))]
