"""The methods that are compared on two photos from far apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor

from benchmarks.quality.alignment.keypoints import KEYPOINTS, keypoint_matcher
from benchmarks.quality.alignment.pairwise import align_pairwise
from diar_ops import align_sequence

#: Maps two photos (2, 3, H, W) to ``homography_0_1`` (3, 3) float64, None where it is refused.
AlignPair: TypeAlias = Callable[[Tensor], Tensor | None]
#: OpenCV's own 0.04 leaves dark pictures without keypoints, the 0.005 of the other comparisons
#: hundreds of thousands in all views of a photo.
ASIFT_CONTRAST = 0.015


def _ours() -> AlignPair:
    def align(frames: Tensor) -> Tensor | None:
        alignment = align_sequence(frames, reference=0)
        return alignment.homography_reference_frame[1] if bool(alignment.success[1]) else None

    return align


def _keypoints(*, views: bool) -> AlignPair:
    sift = KEYPOINTS["sift"]
    if views:
        sift = sift._replace(options={"contrastThreshold": ASIFT_CONTRAST})
    pairwise = align_pairwise(keypoint_matcher(sift, views=views), all_pairs=False)

    def align(frames: Tensor) -> Tensor | None:
        estimate = pairwise(frames)
        return estimate.homography_reference_frame[1] if bool(estimate.success[1]) else None

    return align


#: Makes each method, by name.
METHODS: dict[str, Callable[[], AlignPair]] = {
    "ours": _ours,
    "sift": lambda: _keypoints(views=False),
    "asift": lambda: _keypoints(views=True),
}
