"""RANSAC on 32 pairs against OpenCV and kornia: time, accuracy, and how often each is right.

All get the same threshold (2 px) and confidence (0.999). ``usac_magsac`` may draw as many samples
as ours (maxIters 100,000), so that it can succeed at 90 % outliers; ``usac_magsac_10k`` and
``usac_magsac_default`` (2000, what findHomography does unasked) show what fewer cost in success.
One call estimates all pairs, except with OpenCV's plain RANSAC, which takes up to a second per
pair: it estimates the first four once. The ratios compare "ms per pair".
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diar_ops import corner_error, homography_dlt, ransac_homography

PAIRS, PAIRS_OF_SLOW, SIZE = 32, 4, 512
SLOW = {"opencv_ransac", "kornia"}
THRESHOLD, CONFIDENCE, NOISE = 2.0, 0.999, 0.5


def make_pairs(number: int, outliers: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return points_src, points_dst and the true homographies of 32 pairs of 512 px images."""
    gen = torch.Generator().manual_seed(number + round(100 * outliers))

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=gen, dtype=torch.float64)

    corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    corners = (corners * (SIZE - 1)).expand(PAIRS, 4, 2)
    truth = homography_dlt(corners, corners + (uniform(PAIRS, 4, 2) - 0.5) * 160)
    src = uniform(PAIRS, number, 2) * (SIZE - 1)
    mapped = torch.cat([src, torch.ones_like(src[..., :1])], -1) @ truth.mT
    dst = mapped[..., :2] / mapped[..., 2:]
    dst = dst + NOISE * torch.randn(dst.shape, generator=gen, dtype=torch.float64)
    wrong = uniform(PAIRS, number).argsort(-1) < round(outliers * number)
    dst = torch.where(wrong[..., None], uniform(PAIRS, number, 2) * (SIZE - 1), dst)
    return src.float(), dst.float(), truth


def ours(src: Tensor, dst: Tensor) -> Tensor:
    return ransac_homography(src, dst, threshold=THRESHOLD, confidence=CONFIDENCE, max_iterations=100_000).homography


def opencv(flag: str, iterations: int) -> Callable[[Tensor, Tensor], Tensor]:
    import cv2

    def estimate(src: Tensor, dst: Tensor) -> Tensor:
        estimates = []
        for a, b in zip(src.numpy(), dst.numpy(), strict=True):
            h = cv2.findHomography(a, b, getattr(cv2, flag), THRESHOLD, maxIters=iterations, confidence=CONFIDENCE)[0]
            estimates.append(np.full((3, 3), np.nan) if h is None else h)
        return torch.from_numpy(np.stack(estimates))

    return estimate


def kornia_ransac(src: Tensor, dst: Tensor) -> Tensor:
    from kornia.geometry import RANSAC

    torch.manual_seed(0)
    ransac = RANSAC("homography", inl_th=THRESHOLD, confidence=CONFIDENCE, max_iter=50)
    return torch.stack([ransac(a, b)[0] for a, b in zip(src, dst, strict=True)])


METHODS: dict[str, Callable[[], Callable[[Tensor, Tensor], Tensor]]] = {
    "ours": lambda: ours,
    "usac_magsac": lambda: opencv("USAC_MAGSAC", 100_000),
    "usac_magsac_10k": lambda: opencv("USAC_MAGSAC", 10_000),
    "usac_magsac_default": lambda: opencv("USAC_MAGSAC", 2000),
    "opencv_ransac": lambda: opencv("RANSAC", 100_000),
    "kornia": lambda: kornia_ransac,
}


@pytest.mark.benchmark(group="ransac")
@pytest.mark.parametrize("outliers", [0.5, 0.7, 0.9], ids=["50%", "70%", "90%"])
@pytest.mark.parametrize("number", [500, 2000], ids=["500", "2000"])
@pytest.mark.parametrize("method", list(METHODS))
def test_ransac(benchmark: Any, method: str, number: int, outliers: float) -> None:
    estimate = METHODS[method]()
    src, dst, truth = make_pairs(number, outliers)
    count = PAIRS_OF_SLOW if method in SLOW else PAIRS
    src, dst, truth = src[:count], dst[:count], truth[:count]
    estimate(src[:1], dst[:1])  # the first call of a process pays for loading
    start = time.perf_counter()
    homography = benchmark.pedantic(estimate, args=(src, dst), rounds=1 if method in SLOW else 5, iterations=1)
    elapsed = time.perf_counter() - start
    # Without statistics (--benchmark-disable) the call has run once.
    seconds = benchmark.stats.stats.median if benchmark.stats else elapsed
    error = corner_error(homography.double(), truth, size=(SIZE, SIZE)).nan_to_num(torch.inf)
    benchmark.extra_info["pairs"] = count
    benchmark.extra_info["ms per pair"] = round(1e3 * seconds / count, 3)
    benchmark.extra_info["median corner error px"] = round(float(error.median()), 3)
    benchmark.extra_info["success < 3 px"] = round(float((error < 3).double().mean()), 3)
