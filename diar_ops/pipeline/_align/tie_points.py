"""Tie points: where two frames show the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops.pipeline._align.graph import shared_share
from diar_ops.pipeline._align.refine import PairOfFrames, RefinedFrame, is_reliable, refine_pairs, to_full_resolution
from diar_ops.pipeline._frames import Progress, WorkingCopies
from diar_ops.pipeline._lens import Lens

#: Frames that each frame is compared with beside its anchor.
NEIGHBOURS = 2
#: A pair shares at least this part of the reference.
LEAST_SHARED = 0.1
#: Frames that show less of the reference are also compared with those, the reference among them,
#: of which they share at least this part: so many, lest errors add up along a chain.
PARTIAL, PARTIAL_SHARED, PARTIAL_NEIGHBOURS = 0.5, 0.15, 6
#: Steps that refine a frame against a neighbour, at most: both are right to a pixel or two.
MAX_ITERATIONS = 10


class TiePoints(NamedTuple):
    """Points of two frames that show the same.

    Attributes:
        frame0: Index of one frame.
        frame1: Index of the other.
        points0: (N, 2) float64 positions in frame 0, in full-resolution pixels, as photographed.
        points1: (N, 2) in frame 1.
    """

    frame0: int
    frame1: int
    points0: Tensor
    points1: Tensor

    @classmethod
    def from_undistorted(cls, frame0: int, frame1: int, points0: Tensor, points1: Tensor, lens: Lens) -> TiePoints:
        """Return the tie points of undistorted positions."""
        distorted0, distorted1 = lens.distort(points0, frame0), lens.distort(points1, frame1)
        return cls(frame0, frame1, distorted0.points, distorted1.points)


def tie_anchors(placed: Mapping[int, RefinedFrame], lens: Lens) -> list[TiePoints]:
    """Return the tie points of each frame and the anchor that it was refined against."""
    return [
        TiePoints.from_undistorted(t, frame.anchor, frame.points_frame, frame.points_anchor, lens)
        for t, frame in placed.items()
    ]


def tie_neighbours(
    placed: Mapping[int, RefinedFrame],
    reference: int,
    coverage: Mapping[int, Tensor],
    copies: WorkingCopies,
    lens: Lens,
    progress: Progress,
) -> list[TiePoints]:
    """Refine frames against those that show most of the same, and return their tie points.

    What hides a part of the reference, or glares there, leaves a frame loosely tied to it. Other
    frames show that part.

    Args:
        placed: Frames that agree with their anchor, beside the reference.
        reference: The reference frame.
        coverage: Which points of a grid on the reference each of them shows, (n,) bool.
        copies: The working copies of the frames, undistorted.
        lens: That of the frames.
        progress: Called with the progress of the step.
    """
    H = {t: frame.homography_reference_frame for t, frame in placed.items()}
    H[reference] = torch.eye(3, dtype=torch.float64)
    neighbours = sorted({*_neighbours(placed, coverage), *_partial_neighbours(placed, coverage, H, lens)})
    pairs = [PairOfFrames(i, j, torch.linalg.inv(H[j]) @ H[i]) for i, j in neighbours]
    ties: dict[int, TiePoints] = {}
    for done, (p, refined) in enumerate(refine_pairs(pairs, copies, levels=1, max_iterations=MAX_ITERATIONS)):
        i, j = neighbours[p]
        copy_i, copy_j = copies[i], copies[j]
        if is_reliable(refined, max(copy_j.size)):
            points_i, points_j = to_full_resolution(refined.matches, copy_i, copy_j)
            ties[p] = TiePoints.from_undistorted(i, j, points_i, points_j, lens)
        progress("adjusting jointly", done + 1, len(pairs))
    return [ties[p] for p in sorted(ties)]


def _neighbours(placed: Mapping[int, RefinedFrame], coverage: Mapping[int, Tensor]) -> list[tuple[int, int]]:
    """Pair each frame with those that share most of what it shows, its anchor left out."""
    pairs = set()
    for t in coverage:
        shared = {p: float((coverage[t] & coverage[p]).double().mean()) for p in coverage if p != t}
        enough = [p for p in shared if shared[p] >= LEAST_SHARED]
        for p in sorted(enough, key=lambda p: (-shared[p], p))[:NEIGHBOURS]:
            if p != placed[t].anchor and t != placed[p].anchor:
                pairs.add((min(t, p), max(t, p)))
    return sorted(pairs)


def _partial_neighbours(
    placed: Mapping[int, RefinedFrame], coverage: Mapping[int, Tensor], homography: Mapping[int, Tensor], lens: Lens
) -> set[tuple[int, int]]:
    """Pair frames that show little of the reference with those that share most with them."""
    pairs = set()
    for t in [t for t in placed if float(coverage[t].double().mean()) < PARTIAL]:
        shared = {
            p: shared_share(torch.linalg.inv(H) @ homography[t], lens.sizes[t], lens.sizes[p])
            for p, H in homography.items()
            if p != t and p != placed[t].anchor and (p not in placed or placed[p].anchor != t)
        }
        enough = [p for p in shared if shared[p] >= PARTIAL_SHARED]
        nearest = sorted(enough, key=lambda p: (-shared[p], p))[:PARTIAL_NEIGHBOURS]
        pairs |= {(min(t, p), max(t, p)) for p in nearest}
    return pairs
