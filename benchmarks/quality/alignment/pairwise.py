"""Alignment by pairs of frames: describe each, match two, fit a homography, chain the pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diar_ops.pipeline import chain_to_reference

#: A pair with fewer inliers is refused, as OpenCV's own tutorial does it.
MIN_INLIERS = 10
#: Behind the name of a method: all pairs are matched, and frames reach the reference over the
#: pairs with the most inliers.
PAIRS = "+pairs"

#: (N, 2) positions (x, y) in pixels.
Points: TypeAlias = NDArray[np.float64]


class Matcher(NamedTuple):
    """A method of matching two pictures.

    Attributes:
        describe: Maps a frame (3, H, W) float32 in [0, 1] to features.
        match: Maps the features of two frames to the positions that belong together.
        threshold: Largest reprojection error of an inlier, in pixels.
        fit: OpenCV's name of the robust estimator.
    """

    describe: Callable[[Tensor], Any]
    match: Callable[[Any, Any], tuple[Points, Points]]
    threshold: float = 1.5
    fit: str = "USAC_MAGSAC"


def align_pairwise(matcher: Matcher, *, all_pairs: bool) -> Align:
    """Return a function that aligns frames by a matcher.

    Args:
        matcher: The matcher.
        all_pairs: Match all pairs and take the most reliable path to the reference; else each
            frame is matched with the reference itself.
    """

    def align(frames: Tensor) -> Estimate:
        count = len(frames)
        features = [matcher.describe(frame) for frame in frames]
        pairs, support = [], []
        homographies = torch.empty(0, 3, 3, dtype=torch.float64)
        for i, j in _pairs(count, all_pairs=all_pairs):
            points_i, points_j = matcher.match(features[i], features[j])
            H_j_i, inliers = _fit(points_i, points_j, matcher)
            if H_j_i is not None:
                pairs.append((i, j))
                homographies = torch.cat([homographies, H_j_i[None]])
                support.append(inliers)
        chained = chain_to_reference(
            torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2),
            homographies,
            torch.tensor(support, dtype=torch.int64),
            count,
            0,
        )
        return Estimate.from_chain(chained, count)

    return align


def _pairs(count: int, *, all_pairs: bool) -> list[tuple[int, int]]:
    if not all_pairs:
        return [(t, 0) for t in range(1, count)]
    return [(i, j) for i in range(count) for j in range(i + 1, count)]


def _fit(points_i: Points, points_j: Points, matcher: Matcher) -> tuple[Tensor | None, int]:
    """Return ``homography_j_i`` and its inliers; None where there is no success."""
    import cv2

    if len(points_i) < MIN_INLIERS:
        return None, 0
    matrix, mask = cv2.findHomography(
        points_i, points_j, getattr(cv2, matcher.fit), matcher.threshold, maxIters=10_000, confidence=0.9999
    )
    inliers = 0 if mask is None else int(mask.sum())
    if matrix is None or inliers < MIN_INLIERS:
        return None, inliers
    H = torch.from_numpy(np.asarray(matrix, dtype=np.float64))
    # A chain follows pairs in both directions.
    usable = bool(H.isfinite().all()) and abs(float(torch.linalg.det(H))) > 1e-12
    return (H, inliers) if usable else (None, inliers)


class Estimate(NamedTuple):
    """Homographies of the frames of a sequence to its frame 0, as a method estimates them.

    Attributes:
        homography_reference_frame: (T, 3, 3) float64, reference ~ H @ frame, in pixels; the
            identity where ``success`` is False.
        success: (T,) bool, whether the method calls the frame aligned.
    """

    homography_reference_frame: Tensor
    success: Tensor

    @classmethod
    def from_chain(cls, homographies: Mapping[int, Tensor], count: int) -> Estimate:
        """Return the estimate of ``count`` frames, of which some have a homography."""
        eye = torch.eye(3, dtype=torch.float64)
        return cls(
            torch.stack([homographies.get(t, eye).to(torch.float64) for t in range(count)]),
            torch.tensor([t in homographies for t in range(count)]),
        )


#: Maps frames (T, 3, H, W) float32 in [0, 1] to an :class:`Estimate`.
Align: TypeAlias = Callable[[Tensor], Estimate]


class Aligner(NamedTuple):
    """One way to align the frames of a sequence.

    Attributes:
        name: As results call it.
        words: What it does, in one line.
        settings: All that its results depend on beside the frames: options, versions, digests of
            weights.
        align: Estimates the homographies of frames.
    """

    name: str
    words: str
    settings: str
    align: Align
