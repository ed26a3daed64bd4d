"""Tie frames whose views are too far apart for a descriptor: match simulated views of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._types import HomographyEstimate, Matches, PairMatches, Reason
from diar_ops.geometry import ransac_homography
from diar_ops.pipeline._align.graph import is_plausible
from diar_ops.pipeline._align.match import Matcher
from diar_ops.pipeline._align.refine import is_reliable, refine_copies, to_full_resolution
from diar_ops.pipeline._align.verify import INDEPENDENCE_CELLS
from diar_ops.pipeline._align.views import affine_view, rotation, upright_shape
from diar_ops.pipeline._frames import WorkingCopy, host_generator

#: Sizes of the views of both copies, as parts of the copies, in the order in which they are tried:
#: alike, then for photos of which one was taken from much nearer. The one from farther away shows
#: the part that is shared in so few pixels that it is enlarged first, as SIFT doubles its images.
LOOKS = ((0.5, 0.5), (2.0, 0.5), (0.5, 2.0))
#: Angles by which the smaller view is turned.
TURNS = tuple(math.radians(degrees) for degrees in range(0, 360, 45))
#: Turns of a look that are verified: those whose matches are most alike.
VERIFIED = 3
#: Well-connected frames that a frame is tied to, and frames that are tried in vain, at most.
HUBS, MOST_FAILURES = 2, 4
#: Matches of a tie that count: about as many as hold of a pair that is matched without views.
MOST_MATCHES = 300
#: A look is given up at views with less than this many pixels along a side.
LEAST_SIDE = 24


class HardTie(NamedTuple):
    """Two copies that were tied by simulated views, and refined.

    Attributes:
        homography_1_0: (3, 3) float64 in pixels of the copies.
        matches: Where they agree, with B = 1, in pixels of the copies.
    """

    homography_1_0: Tensor
    matches: Matches


def tie_hard_views(
    copy0: WorkingCopy, copy1: WorkingCopy, *, matcher: Matcher, threshold: float, generator: torch.Generator | None
) -> HardTie | None:
    """Match simulated views of two copies, and refine what comes of it; None where nothing agrees.

    Both copies are foreshortened until their gradients point everywhere alike
    (:func:`upright_shape`), one is turned in steps of 45 degrees, and both are matched at the sizes
    of :data:`LOOKS`. The likeliest turns are verified by a robust homography, and what passes is
    refined on the pixels: only where these agree, by the bounds for any pair, is there a tie. The
    first tie ends the search.

    At most ``len(LOOKS) * len(TURNS)`` pairs of views are matched, ``len(LOOKS) * VERIFIED``
    homographies searched and as many refined.

    Args:
        copy0: A copy of a frame.
        copy1: Of another.
        matcher: Matches two views.
        threshold: Inlier threshold in pixels of the views.
        generator: Source of randomness.
    """
    shapes = upright_shape(copy0), upright_shape(copy1)
    for scales in LOOKS:
        linear = [scale * shape for scale, shape in zip(scales, shapes, strict=True)]
        turned = 0 if scales[0] < scales[1] else 1
        for homography_1_0 in _look(copy0, copy1, linear, turned, matcher, threshold, generator):
            refined = refine_copies(copy0, copy1, homography_1_0)
            H = refined.homography[0].to(torch.float64)
            if is_reliable(refined, max(copy1.size)) and _is_possible(H, copy0, copy1):
                return HardTie(H, refined.matches)
    return None


def _look(
    copy0: WorkingCopy,
    copy1: WorkingCopy,
    linear: Sequence[Tensor],
    turned: int,
    matcher: Matcher,
    threshold: float,
    generator: torch.Generator | None,
) -> list[Tensor]:
    """Return the ``homography_1_0`` (3, 3) of the turns that are verified, best supported first.

    Args:
        copy0: A copy.
        copy1: Another.
        linear: The affine map to the view of each, (2, 2).
        turned: Which of the two views is turned: the smaller one.
        matcher: Matches two views.
        threshold: Inlier threshold in pixels of the views.
        generator: Source of randomness.
    """
    sources = (copy0, copy1)
    fixed = affine_view(sources[1 - turned], linear[1 - turned])
    views = [affine_view(sources[turned], rotation(angle) @ linear[turned]) for angle in TURNS]
    if min(min(view.size) for view in (fixed, *views)) < LEAST_SIDE:
        return []
    prepared = dict(matcher.prepare([fixed, *views]))
    sides = [(prepared[0], prepared[k + 1]) for k in range(len(views))]
    found = dict(matcher.match(sides))
    likeness = [float((found[k].score * found[k].valid).sum()) for k in range(len(views))]
    ranked = sorted(range(len(views)), key=lambda k: -likeness[k])[:VERIFIED]
    longest = max(max(fixed.size), *(max(view.size) for view in views))
    results = []
    for k in ranked:
        match = found[k]
        estimate = ransac_homography(
            match.points0,
            match.points1,
            match.valid,
            score=match.score,
            threshold=threshold,
            independence=longest / INDEPENDENCE_CELLS,
            generator=host_generator(generator),
        )
        if not bool(estimate.success[0]):
            continue
        # From pixels of the views to those of the copies.
        into_turned = views[k].homography_copy_frame @ torch.linalg.inv(sources[turned].homography_copy_frame)
        into_fixed = fixed.homography_copy_frame @ torch.linalg.inv(sources[1 - turned].homography_copy_frame)
        H = torch.linalg.inv(into_turned) @ estimate.homography[0].to("cpu", torch.float64) @ into_fixed
        H = torch.linalg.inv(H) if turned == 0 else H
        if _is_possible(H, copy0, copy1):
            results.append((int(estimate.inliers.sum()), H))
    return [H for _, H in sorted(results, key=lambda result: -result[0])]


def _is_possible(homography_1_0: Tensor, copy0: WorkingCopy, copy1: WorkingCopy) -> bool:
    return is_plausible(homography_1_0, copy0.size) and is_plausible(torch.linalg.inv(homography_1_0), copy1.size)


def tied_pair(
    tie: HardTie, frame0: int, frame1: int, copy0: WorkingCopy, copy1: WorkingCopy, count: int
) -> PairMatches:
    """Return a tie of two copies as a verified pair of frames, in full-resolution pixels.

    Args:
        tie: Of the copies.
        frame0: Index of the frame of copy 0.
        frame1: Index of the frame of copy 1.
        copy0: A copy.
        copy1: Another.
        count: Number of matches to pad to; at most :data:`MOST_MATCHES` hold.
    """
    points = to_full_resolution(tie.matches, copy0, copy1)
    number = min(len(points[0]), count, MOST_MATCHES)
    chosen = torch.linspace(0, len(points[0]) - 1, number, dtype=torch.float64).round().long()
    points0, points1 = (
        torch.nn.functional.pad(side[chosen].float(), (0, 0, 0, count - number))[None] for side in points
    )
    valid = (torch.arange(count) < number)[None]
    H = torch.linalg.inv(copy1.homography_copy_frame) @ tie.homography_1_0 @ copy0.homography_copy_frame
    one = torch.ones(1, dtype=torch.int64)
    estimate = HomographyEstimate(H[None], valid, valid.any(1), int(Reason.OK) * one, 0 * one)
    return PairMatches(torch.tensor([[frame0, frame1]]), Matches(points0, points1, valid.float(), valid), estimate)
