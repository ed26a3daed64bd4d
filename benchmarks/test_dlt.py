"""The direct linear transform against kornia and OpenCV: 256 problems of 4, 8 and 100 points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diar_ops import homography_dlt

BATCH = 256


def kornia_dlt(src: Tensor, dst: Tensor) -> Tensor:
    from kornia.geometry import find_homography_dlt

    return find_homography_dlt(src, dst)


def opencv_dlt(src: Tensor, dst: Tensor) -> Tensor:
    import cv2

    def solve(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return cv2.getPerspectiveTransform(a, b) if len(a) == 4 else cv2.findHomography(a, b, 0)[0]

    homographies = [solve(a, b) for a, b in zip(src.numpy(), dst.numpy(), strict=True)]
    return torch.from_numpy(np.stack(homographies))


METHODS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "ours": homography_dlt,
    "kornia": kornia_dlt,
    "opencv": opencv_dlt,
}


@pytest.mark.benchmark(group="dlt")
@pytest.mark.parametrize("points", [4, 8, 100])
@pytest.mark.parametrize("method", list(METHODS))
def test_dlt(benchmark: Any, method: str, points: int) -> None:
    """Exact correspondences, so that the largest residual is what the solver loses."""
    gen = torch.Generator().manual_seed(points)
    corners = torch.tensor([[0.0, 0.0], [511.0, 0.0], [511.0, 511.0], [0.0, 511.0]])
    corners = corners.expand(BATCH, 4, 2).double()
    moved = corners + (torch.rand(BATCH, 4, 2, generator=gen, dtype=torch.float64) - 0.5) * 160
    truth = homography_dlt(corners, moved)
    src = torch.rand(BATCH, points, 2, generator=gen) * 511

    def project(homography: Tensor) -> Tensor:
        mapped = src.double() @ homography[..., :2].double().mT
        mapped = mapped + homography[:, None, :, 2].double()
        return mapped[..., :2] / mapped[..., 2:]

    dst = project(truth).float()
    result = benchmark(METHODS[method], src, dst)
    error = (project(result) - dst).norm(dim=-1).amax(-1).nan_to_num(torch.inf)
    benchmark.extra_info["median worst residual px"] = float(f"{float(error.median()):.2g}")
    benchmark.extra_info["share > 0.1 px"] = round(float((error > 0.1).double().mean()), 3)
