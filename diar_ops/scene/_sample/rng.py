"""Random tensors in the distributions of scenes."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops.scene.ranges import SceneRanges


class TensorRng:
    """Random float64 tensors from one generator, always drawn in the same order."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator
        self.device = generator.device

    def uniform(self, shape: tuple[int, ...], low: float = 0.0, high: float = 1.0) -> Tensor:
        unit = torch.rand(shape, generator=self.generator, dtype=torch.float64, device=self.device)
        return low + (high - low) * unit

    def log_uniform(self, shape: tuple[int, ...], low: float, high: float) -> Tensor:
        return torch.exp(self.uniform(shape, math.log(low), math.log(high)))

    def category(self, shape: tuple[int, ...], shares: tuple[float, ...]) -> Tensor:
        edges = torch.tensor(shares, dtype=torch.float64, device=self.device).cumsum(0)[:-1]
        return torch.bucketize(self.uniform(shape), edges, right=True)

    def tint(self, shape: tuple[int, ...], ranges: SceneRanges) -> Tensor:
        return self.uniform((*shape, 3), 1 - ranges.tint, 1 + ranges.tint)

    def on_picture(self, shape: Tensor, *counts: int) -> Tensor:
        """Return (B, *counts, 3) points of pictures whose (B, 2) sizes are ``shape``."""
        batch = len(shape)
        flip = shape.flip(-1).reshape(batch, *(1 for _ in counts), 2)
        return F.pad(self.uniform((batch, *counts, 2), -0.5, 0.5) * flip, (0, 1))

    def rotation(self, shape: tuple[int, ...]) -> Tensor:
        """Return uniformly distributed rotations (Shoemake 1992)."""
        a, b, c = self.uniform((*shape, 3)).unbind(-1)
        p, q = (1 - a).sqrt(), a.sqrt()
        two_pi = 2 * math.pi
        x, y = p * torch.sin(two_pi * b), p * torch.cos(two_pi * b)
        z, w = q * torch.sin(two_pi * c), q * torch.cos(two_pi * c)
        rows = (
            1 - 2 * (y * y + z * z),
            2 * (x * y - z * w),
            2 * (x * z + y * w),
            2 * (x * y + z * w),
            1 - 2 * (x * x + z * z),
            2 * (y * z - x * w),
            2 * (x * z - y * w),
            2 * (y * z + x * w),
            1 - 2 * (x * x + y * y),
        )
        return torch.stack(rows, dim=-1).reshape(*shape, 3, 3)


def choose_first(fits: Tensor, fallback: Tensor, *values: Tensor) -> list[Tensor]:
    """Choose along dim 2 the first candidate that fits, else the one of the largest fallback.

    Args:
        fits: (B, T, N, ...) bool.
        fallback: As ``fits``, in [0, 1].
        values: (B, T, N, ...) each.

    Returns:
        The values (B, T, ...) of the candidates chosen.
    """
    count = fits.shape[2]
    rank = torch.arange(count, 0, -1, device=fits.device, dtype=torch.float64) + 1
    rank = rank.reshape(1, 1, count, *(1 for _ in fits.shape[3:]))
    chosen = torch.where(fits, rank, fallback).argmax(dim=2, keepdim=True)
    selected = []
    for value in values:
        index = chosen.reshape(*chosen.shape, *(1 for _ in value.shape[chosen.ndim :]))
        index = index.expand(*chosen.shape, *value.shape[chosen.ndim :])
        selected.append(value.gather(2, index)[:, :, 0])
    return selected
