"""Ten frames of 512 px aligned to the first of them, by `align_sequence` and by SIFT on all pairs.

SIFT matches all 45 pairs by brute force with a ratio test and fits each by USAC_MAGSAC: with
OpenCV's threshold of contrast, and with the lower one that `examples/evaluate.py` uses
because it aligns more frames. All use all cores.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.quality.alignment.keypoints import KEYPOINTS, keypoint_matcher
from benchmarks.quality.alignment.pairwise import Estimate, align_pairwise
from diar_ops import align_sequence, corner_error
from diar_ops.data import SequenceDataset


def method_of(name: str, device: str) -> Callable[[Tensor], Estimate]:
    if name == "ours":

        def ours(frames: Tensor) -> Estimate:
            alignment = align_sequence(frames, reference=0, device=device)
            return Estimate(alignment.homography_reference_frame, alignment.success)

        return ours
    keypoints = KEYPOINTS["sift"]
    if name == "SIFT":
        keypoints = keypoints._replace(options={})
    return align_pairwise(keypoint_matcher(keypoints), all_pairs=True)


@pytest.mark.benchmark(group="alignment of ten frames of 512 px")
@pytest.mark.parametrize("method", ["ours", "SIFT", "SIFT low contrast"])
def test_alignment(
    benchmark: Any, request: pytest.FixtureRequest, peak_memory: Callable[..., float], method: str
) -> None:
    item = SequenceDataset("examples/demo_sequence")[0]
    frames, H_frame_label = item["frames"], item["homography_frame_label"]
    align = method_of(method, request.config.getoption("--bench-device"))
    estimates: list[Estimate] = []
    benchmark.extra_info["peak MiB"] = peak_memory(lambda f: estimates.append(align(f)), frames)
    (alignment,) = estimates
    true = H_frame_label[0] @ torch.linalg.inv(H_frame_label)
    error = corner_error(alignment.homography_reference_frame, true, size=(512, 512))
    error = torch.where(alignment.success, error, torch.inf)[1:].sort().values
    benchmark.extra_info["median error px"] = float(error.quantile(0.5, interpolation="lower"))
    benchmark.extra_info["worst error px"] = float(error[-1])
    benchmark.pedantic(align, (frames,), rounds=1 if method == "SIFT low contrast" else 3)
