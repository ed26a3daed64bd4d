"""Tiles of pixels: rays are worked on in rows of pixels that lie together."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diar_ops.scene._render.plane_view import PixelRays

#: Rays are worked on in rows of this many that lie together: TILE x TILE pixels.
TILE = 16
ROW = TILE * TILE


def tile_rays(size: tuple[int, int], spacing: float, dtype: torch.dtype, device: torch.device) -> PixelRays:
    """Return rays through all pixels in tiles, which reach beyond the frame where they must.

    The coarse nodes in a tile are at most ``spacing`` pixels apart.
    """
    height, width = (-(-side // TILE) for side in size)

    def grid(steps: Tensor) -> tuple[Tensor, Tensor]:
        count = len(steps)
        u = torch.arange(width, device=device)[:, None] * TILE + steps - (size[1] - 1) / 2
        v = torch.arange(height, device=device)[:, None] * TILE + steps - (size[0] - 1) / 2
        shape = (height, width, count, count)
        u = u[None, :, None, :].expand(shape).reshape(1, -1, count**2)
        v = v[:, None, :, None].expand(shape).reshape(1, -1, count**2)
        return u, v

    steps = torch.arange(TILE, dtype=dtype, device=device)
    count = math.ceil((TILE - 1) / max(spacing, 1.0)) + 1
    nodes = torch.linspace(0, TILE - 1, count, dtype=dtype, device=device)
    hat = (1 - (steps - nodes[:, None]).abs() * ((count - 1) / (TILE - 1))).clamp_min(0)
    weights = torch.einsum("ai,bj->abij", hat, hat).reshape(count**2, ROW)
    return PixelRays(*grid(steps), coarse=(*grid(nodes), weights))


def untile(field: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (F, C, R, N) or (F, R, N) as images (F, C, h, w)."""
    field = field if field.ndim == 4 else field[:, None]
    high, wide = (-(-side // TILE) for side in size)
    image = field.reshape(*field.shape[:2], high, wide, TILE, TILE).transpose(3, 4)
    return image.reshape(*field.shape[:2], high * TILE, wide * TILE)[..., : size[0], : size[1]]
