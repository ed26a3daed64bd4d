"""refine_homography against OpenCV's maximisation of correlation (findTransformECC): time, error.

Frames of the bundled sequence (512 px) onto its frontal one, from homographies whose corners are
off by 3 px in the mean, under the light, the highlights and the things of that sequence; and the
same frame onto itself under equal light, where ECC is at home. ECC takes 200
steps at most, a Gaussian of 5 px before; "thorough" 1000.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.quality.aligned import random_homography
from diar_ops import corner_error, refine_homography, warp_homography
from diar_ops.data import SequenceDataset

SIZE = (512, 512)
#: Pairs of a call.
PAIRS = 4

Pairs = tuple[Tensor, Tensor, Tensor, Tensor]


def make_pairs(light: str) -> Pairs:
    """Return sources, destination, initial and true homographies."""
    item = SequenceDataset("examples/demo_sequence")[0]
    frames, H = item["frames"], item["homography_frame_label"].double()
    true = H[0] @ torch.linalg.inv(H[1 : PAIRS + 1])
    sources = frames[1 : PAIRS + 1]
    if light == "equal light":
        sources = warp_homography(frames[:1], torch.linalg.inv(true).float()).image
    seeded = torch.Generator().manual_seed(0)
    off = torch.stack([random_homography(3.0, SIZE, seeded) for _ in range(PAIRS)])
    return sources, frames[:1], off @ true, true


def ours(sources: Tensor, destination: Tensor, initial: Tensor) -> Tensor:
    return refine_homography(sources, destination, initial).homography


def ecc(iterations: int, eps: float) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    def refine(sources: Tensor, destination: Tensor, initial: Tensor) -> Tensor:
        stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, iterations, eps)
        (fixed,) = 255 * destination.mean(1).numpy()
        refined = []
        for source, start in zip(255 * sources.mean(1).numpy(), initial, strict=True):
            inverse = torch.linalg.inv(start)
            H = np.ascontiguousarray((inverse / inverse[2, 2]).numpy(), np.float32)
            try:
                H = cv2.findTransformECC(fixed, source, H, cv2.MOTION_HOMOGRAPHY, stop, None, 5)[1]
            except cv2.error as error:
                if error.code != cv2.Error.StsNoConv:
                    raise
            refined.append(torch.linalg.inv(torch.from_numpy(H).double()))
        return torch.stack(refined)

    return refine


METHODS = {"ours": ours, "ECC": ecc(200, 1e-5), "ECC thorough": ecc(1000, 1e-8)}


@pytest.mark.benchmark(group="refinement of four pairs of 512 px")
@pytest.mark.parametrize("light", ["equal light", "changed light"])
@pytest.mark.parametrize("method", list(METHODS))
def test_refine(benchmark: Any, peak_memory: Callable[..., float], method: str, light: str) -> None:
    *given, true = make_pairs(light)
    refine = METHODS[method]
    refined: list[Tensor] = []
    benchmark.extra_info["peak MiB"] = peak_memory(lambda *a: refined.append(refine(*a)), *given)
    error = corner_error(refined[0], true, size=SIZE)
    benchmark.extra_info["median error px"] = float(error.median())
    benchmark.extra_info["worst error px"] = float(error.max())
    benchmark.pedantic(refine, given, rounds=1 if method == "ECC thorough" else 3)
