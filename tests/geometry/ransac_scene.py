"""Correspondences under known homographies, with outliers."""

from __future__ import annotations

import torch
from torch import Tensor

from diar_ops import HomographyEstimate, Reason, homography_dlt
from tests.harness import generator

F64 = torch.float64


SIZE = 512


def project(homography: Tensor, points: Tensor) -> Tensor:
    mapped = points.to(F64) @ homography[..., :2].to(F64).mT + homography[:, None, :, 2].to(F64)
    return mapped[..., :2] / mapped[..., 2:]


def pairs(
    name: str, batch: int, number: int, outliers: float, noise: float = 0.5
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return points_src, points_dst, the true homography, and which pairs are true."""
    gen = generator(name)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=gen, dtype=F64)

    corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], dtype=F64)
    corners = (corners * (SIZE - 1)).expand(batch, 4, 2)
    truth = homography_dlt(corners, corners + (uniform(batch, 4, 2) - 0.5) * 160)
    src = uniform(batch, number, 2) * (SIZE - 1)
    dst = project(truth, src) + noise * torch.randn(batch, number, 2, generator=gen, dtype=F64)
    wrong = uniform(batch, number).argsort(-1) < round(outliers * number)
    dst = torch.where(wrong[..., None], uniform(batch, number, 2) * (SIZE - 1), dst)
    return src, dst, truth, ~wrong


def line(number: int = 30, batch: int = 1) -> Tensor:
    x = torch.linspace(10, 500, number)
    return torch.stack([x, 0.3 * x + 20], -1).expand(batch, -1, -1)


def assert_failed(estimate: HomographyEstimate, reason: Reason) -> None:
    assert estimate.reason.tolist() == [reason] * len(estimate.reason)
    assert not estimate.success.any()
    assert not estimate.inliers.any()
    assert (estimate.homography == torch.eye(3)).all()
