"""Bring frames to a common exposure before they are aggregated."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops.aggregate import exposure_gain
from diar_ops.colour import linear_to_srgb, srgb_to_linear

__all__ = ["SHRINK", "compensate_exposure"]

#: Exposure is compared on copies whose sides are this many times shorter.
SHRINK = 4


def compensate_exposure(frames: Tensor, valid: Tensor | None = None) -> Tensor:
    """Multiply each frame and channel by one factor in linear light (:func:`exposure_gain`).

    Args:
        frames: (B, T, 3, H, W) sRGB in [0, 1], aligned.
        valid: Optional (B, T, 1, H, W) bool.

    Returns:
        (B, T, 3, H, W) sRGB, not clipped where a factor exceeds 1.
    """
    H, W = frames.shape[-2:]
    small = (max(1, round(H / SHRINK)), max(1, round(W / SHRINK)))
    copies, shown = _shrink(frames, small), None
    if valid is not None:
        # A pixel of the copy counts where all of its pixels do.
        shown = _shrink(valid.to(frames.dtype), small) > 0.999
    gain = exposure_gain(srgb_to_linear(copies), shown)[..., None, None]
    return linear_to_srgb(srgb_to_linear(frames) * gain)


def _shrink(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    small = F.interpolate(pictures.flatten(0, 1), size, mode="area")
    return torch.unflatten(small, 0, pictures.shape[:2])
