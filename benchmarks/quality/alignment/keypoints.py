"""The classical matchers: OpenCV's keypoints, nearest neighbours, ratio test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from benchmarks.quality.alignment.pairwise import Matcher, Points

#: A match is kept if its distance is below so much of the second best.
RATIO = 0.8


class Keypoints(NamedTuple):
    """A detector of OpenCV's.

    Attributes:
        words: What it is.
        create: Name of what makes it, in ``cv2``.
        norm: Name of the distance of its descriptors, in ``cv2``.
        options: Of ``create``.
    """

    words: str
    create: str
    norm: str
    options: dict[str, Any]


#: With OpenCV's own thresholds of contrast they find little on dark and misty pictures: on 18
#: rendered sequences SIFT lays 56 % of the frames within a pixel by its default, 83 % by this one.
KEYPOINTS: dict[str, Keypoints] = {
    "sift": Keypoints("SIFT", "SIFT_create", "NORM_L2", {"contrastThreshold": 0.005}),
    "orb": Keypoints("ORB", "ORB_create", "NORM_HAMMING", {"nfeatures": 10_000, "fastThreshold": 5}),
    "akaze": Keypoints("AKAZE", "AKAZE_create", "NORM_HAMMING", {"threshold": 3e-5}),
}


def missing_detector(name: str) -> str | None:
    """Return a sentence where the installed OpenCV lacks a detector."""
    import cv2

    if hasattr(cv2, KEYPOINTS[name].create):
        return None
    return f"OpenCV {cv2.__version__} has no {KEYPOINTS[name].words} (4.x and contrib builds do)"


def keypoint_matcher(keypoints: Keypoints, *, views: bool = False) -> Matcher:
    """Return the matcher by some keypoints: brute force, ratio test.

    Args:
        keypoints: The detector.
        views: Detect them in simulated views, too, as ASIFT does (``cv2.AffineFeature``): several
            tens of thousands a frame, whose neighbours OpenCV's own sample looks up in k-d trees.
    """
    import cv2

    detector = getattr(cv2, keypoints.create)(**keypoints.options)
    if views:
        trees = cv2.FlannBasedMatcher({"algorithm": 1, "trees": 5}, {"checks": 32})
        return Matcher(_describe(cv2.AffineFeature.create(detector)), _match(trees))
    matcher = cv2.BFMatcher(getattr(cv2, keypoints.norm))
    return Matcher(_describe(detector), _match(matcher))


def _describe(detector: Any) -> Callable[[Tensor], tuple[Points, Any]]:
    import cv2

    def describe(frame: Tensor) -> tuple[Points, Any]:
        pixels = (frame * 255).round().clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy()
        keypoints, descriptors = detector.detectAndCompute(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), None)
        points = np.array([keypoint.pt for keypoint in keypoints], dtype=np.float64).reshape(-1, 2)
        return points, descriptors

    return describe


def _match(matcher: Any) -> Callable[[Any, Any], tuple[Points, Points]]:
    def match(first: tuple[Points, Any], second: tuple[Points, Any]) -> tuple[Points, Points]:
        (points_i, descriptors_i), (points_j, descriptors_j) = first, second
        kept = []
        if len(points_i) >= 1 and len(points_j) >= 2:
            for best, other in matcher.knnMatch(descriptors_i, descriptors_j, k=2):
                if best.distance < RATIO * other.distance:
                    kept.append((best.queryIdx, best.trainIdx))
        index = np.array(kept, dtype=np.int64).reshape(-1, 2)
        return points_i[index[:, 0]], points_j[index[:, 1]]

    return match
