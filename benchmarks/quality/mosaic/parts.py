"""Photos of parts of one large picture, each with its own view, light and exposure."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops import homography_dlt, warp_homography
from diar_ops._pixels import image_size, to_bytes
from diar_ops.colour import linear_to_srgb, srgb_to_linear


class Parts(NamedTuple):
    """Photos of parts of a picture.

    Attributes:
        frames: T photos (3, h, w) uint8.
        homography_frame_picture: (T, 3, 3) float64.
    """

    frames: list[Tensor]
    homography_frame_picture: Tensor


def photograph_parts(
    picture: Tensor,
    *,
    generator: torch.Generator,
    grid: tuple[int, int] = (3, 4),
    share: tuple[float, float] = (0.42, 0.42),
    tilt: float = 0.05,
    light: float = 0.2,
    noise: float = 0.006,
) -> Parts:
    """Photograph a picture in parts that overlap, row by row.

    Args:
        picture: (3, H, W) sRGB in [0, 1].
        generator: Source of randomness.
        grid: Rows and columns of photos.
        share: Of the height and width of the picture that a photo shows, about.
        tilt: By this share of a photo its corners are out of square; 0.05 is a tilt of some 10 degrees.
        light: Uneven light, as a factor: a slope across the photo and its corners, in linear light.
        noise: Standard deviation of the sensor's noise.
    """

    def uniform(*shape: int) -> Tensor:
        return 2 * torch.rand(*shape, generator=generator, dtype=torch.float64) - 1

    height, width = image_size(picture)
    h, w = round(share[0] * height), round(share[1] * width)
    corners = torch.tensor([[0, 0], [w - 1, 0], [w - 1, h - 1], [0, h - 1]], dtype=torch.float64)
    y, x = (torch.linspace(-1, 1, n, dtype=torch.float64) for n in (h, w))
    frames, homographies = [], []
    for row in range(grid[0]):
        for column in range(grid[1]):
            place = torch.tensor(
                [(width - w) * column / max(1, grid[1] - 1), (height - h) * row / max(1, grid[0] - 1)]
            ).double()
            place = place + 0.03 * uniform(2) * torch.tensor([width, height])
            seen = corners + place + tilt * uniform(4, 2) * torch.tensor([w, h])
            seen = seen.clamp_min(0).minimum(torch.tensor([width - 1.0, height - 1.0]).double())
            H = homography_dlt(seen[None], corners[None])
            shown = warp_homography(picture[None].double(), H, size=(h, w), mode="bicubic").image[0].clamp(0, 1)
            slope = uniform(2)
            uneven = 1 + light * (slope[0] * x + slope[1] * y[:, None] - 0.5 * (x.square() + y[:, None].square()))
            exposure = (math.log(1.4) * uniform(1) + 0.05 * uniform(3)).exp()[:, None, None]
            photo = linear_to_srgb((srgb_to_linear(shown) * uneven * exposure).clamp(0, 1))
            grain = noise * torch.randn(photo.shape, generator=generator, dtype=torch.float64)
            frames.append(to_bytes(photo + grain))
            homographies.append(H[0])
    return Parts(frames, torch.stack(homographies))
