"""Images and homographies to warp."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.harness import generator

NAN = float("nan")


def noise(name: str, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=generator(name), dtype=torch.float64)


def smooth(name: str, *shape: int) -> Tensor:
    """Images without detail near the pixel grid's limit: resampling them is nearly exact."""
    coarse = noise(name, *shape[:-2], 5, 6)
    return torch.nn.functional.interpolate(coarse, size=shape[-2:], mode="bicubic", align_corners=True)


def homography(rows: list[list[float]]) -> Tensor:
    return torch.tensor([rows], dtype=torch.float64)


def scaling(factor_x: float, factor_y: float | None = None) -> Tensor:
    """Scale about the outer corner: what shrinking an image means."""
    fx, fy = factor_x, factor_x if factor_y is None else factor_y
    return homography([[fx, 0, fx / 2 - 0.5], [0, fy, fy / 2 - 0.5], [0, 0, 1]])


TILTED = homography([[0.9, 0.1, 3.0], [-0.05, 0.95, 2.0], [2e-3, -1e-3, 1.0]])
