"""Pairs of pictures of which one is bent by a known smooth field."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.geometry.refine_scene import SIZE, texture
from tests.harness import generator

EYE = torch.eye(3, dtype=torch.float64)[None]


def bulge(pixels: float, angle: float = 0.6) -> Tensor:
    """Displacements (2, h, w) of up to so many pixels, strongest in the middle, 0 at the border."""
    y, x = (torch.linspace(-1, 1, n, dtype=torch.float64) for n in SIZE)
    height = pixels * (1 - y[:, None].square()) * (1 - x.square())
    return height * torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)[:, None, None]


def bent_pair(name: str, pixels: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return source and destination (1, 3, h, w), and the field: the source shows q + field(q) at q.

    The source is the texture; the destination looks it up, so that nothing has to be inverted.
    """
    larger = texture(name, 1, 3, SIZE[0] + 60, SIZE[1] + 60)
    field = bulge(pixels)
    y, x = (torch.arange(n, dtype=torch.float64) for n in SIZE)
    place = torch.stack((x + field[0] + 30.5, y[:, None] + field[1] + 30.5), -1)
    size = torch.tensor([SIZE[1] + 60, SIZE[0] + 60], dtype=torch.float64)
    destination = F.grid_sample(larger, (place * 2 / size - 1)[None], mode="bicubic", align_corners=False)
    return larger[..., 30:-30, 30:-30].contiguous(), destination, field


def noisy(image: Tensor, name: str, sigma: float = 0.005) -> Tensor:
    """Return the image with sensor noise."""
    noise = torch.randn(image.shape, generator=generator(name), dtype=image.dtype)
    return (image + sigma * noise).clamp(0, 1)
