"""Pairs of pictures under known homographies."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops import RefinedHomography, corner_error, homography_dlt, warp_homography
from tests.harness import generator

SIZE = (120, 150)


def texture(name: str, *shape: int) -> Tensor:
    """Pictures with detail of every size, in [0.1, 0.9]."""
    seeded = generator(name)
    picture = torch.zeros(*shape, dtype=torch.float64)
    for cell in (4, 8, 16, 32):
        coarse = torch.rand(*shape[:-2], *(n // cell + 2 for n in shape[-2:]), generator=seeded, dtype=torch.float64)
        picture += F.interpolate(coarse, shape[-2:], mode="bicubic", align_corners=True)
    return 0.1 + 0.8 * (picture / 4).clamp(0, 1)


def moved_corners(name: str, pixels: float, count: int = 1) -> Tensor:
    """Homographies (count, 3, 3) that move each corner by about so many pixels."""
    right, bottom = SIZE[1] - 1.0, SIZE[0] - 1.0
    corners = torch.tensor([[0, 0], [right, 0], [right, bottom], [0, bottom]], dtype=torch.float64)
    angle = 6.2832 * torch.rand(count, 4, generator=generator(name), dtype=torch.float64)
    moves = pixels * torch.stack((angle.cos(), angle.sin()), -1)
    return homography_dlt(corners.expand(count, 4, 2), corners + moves)


def pair(name: str, pixels: float = 6.0) -> tuple[Tensor, Tensor, Tensor]:
    """Return source, destination (1, 3, h, w) and the true homography; copies."""
    source, destination, truth = _pair(name, pixels)
    return source.clone(), destination.clone(), truth.clone()


@lru_cache(maxsize=8)
def _pair(name: str, pixels: float) -> tuple[Tensor, Tensor, Tensor]:
    larger = texture(name, 1, 3, SIZE[0] + 60, SIZE[1] + 60)
    shift = torch.tensor([[1.0, 0, -30], [0, 1, -30], [0, 0, 1]], dtype=torch.float64)[None]
    truth = moved_corners(name + " truth", pixels)
    source = warp_homography(larger, torch.linalg.inv(truth) @ shift, size=SIZE, mode="bicubic")
    destination = warp_homography(larger, shift, size=SIZE, mode="bicubic")
    return source.image, destination.image, truth


def spoil(image: Tensor, name: str) -> Tensor:
    """Shade it, darken it, cast a shadow, glare, and put a thing in front of a fifth of it."""
    seeded = generator(name)
    h, w = image.shape[-2:]
    ramp = torch.linspace(0.5, 1.1, w, dtype=image.dtype)
    image = image * ramp + 0.05
    image[..., : h // 3, w // 2 :] *= 0.5
    image[..., h // 2 : h // 2 + 12, 10:30] = 1.0
    thing = texture(name + " thing", 1, 3, h // 2, w * 2 // 5)
    image[..., h // 2 :, w * 3 // 5 :] = thing
    noise = torch.randn(image.shape, generator=seeded, dtype=image.dtype)
    return (image + 0.004 * noise).clamp(0, 1)


def error(found: RefinedHomography, truth: Tensor) -> Tensor:
    return corner_error(found.homography, truth, size=SIZE)
