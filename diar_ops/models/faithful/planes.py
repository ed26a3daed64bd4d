"""What the faithful network makes of planes of pixels, beside its layers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops.models._inputs import pad_to_multiple

__all__ = [
    "CLUES",
    "STRIDE",
    "block_means",
    "by_frame",
    "cells_of_tokens",
    "describe_blocks",
    "score_clues",
    "spread",
    "token_range",
    "weighted_mean",
]

#: Pixels of a side that share one token of attention, in small copies and in the picture.
STRIDE = 8
#: Clues by which a pixel is scored, see score_clues; the unit of their shares; where clipping
#: is near.
CLUES, CLUE_UNIT, NEARLY_CLIPPED = 5, 10.0, 0.9
#: No log of a value is farther from 0.
BRIGHT = 3.0
#: Reach of a sample of light, in cells of 4 pixels of the small copies, and the support below which
#: the mean of a frame counts more than what is near.
SPREAD, LEAST_SUPPORT = 1.0, 0.01


def token_range(log: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Return the least and the most of each token of (B, T, 3, H, W), in means of four pixels."""
    T = log.shape[1]
    seen = F.avg_pool2d(known.flatten(0, 1), 2) == 1
    means = F.avg_pool2d(log.flatten(0, 1), 2)
    least = -F.max_pool2d(torch.where(seen, -means, -BRIGHT), STRIDE // 2)
    most = F.max_pool2d(torch.where(seen, means, -BRIGHT), STRIDE // 2)
    return by_frame(least.clamp(-BRIGHT, BRIGHT), T), by_frame(most, T)


def weighted_mean(x: Tensor, weight: Tensor) -> Tensor:
    """Return the mean of ``x`` / weight over pixels, weighted, (B, T, C, 1, 1)."""
    return x.sum((3, 4), keepdim=True) / weight.sum((3, 4), keepdim=True).clamp_min(1e-6)


def block_means(x: Tensor, side: int) -> Tensor:
    """Return means over blocks of (B, T, C, H, W)."""
    return by_frame(F.avg_pool2d(x.flatten(0, 1), side), x.shape[1])


def cells_of_tokens(x: Tensor) -> Tensor:
    """Return (B, T, C, 2 h, 2 w) of tokens (B, T, h, w, 4 C)."""
    return by_frame(F.pixel_shuffle(x.movedim(-1, 2).flatten(0, 1), 2), x.shape[1])


def spread(x: Tensor, weight: Tensor) -> Tensor:
    """Return the smooth field of samples ``x`` / ``weight``: normalised convolution.

    Far from all samples it is their mean.
    """
    B, T, C, h, w = x.shape
    both = torch.cat((x, weight), dim=2)
    kernel = torch.exp(
        -torch.arange(-3, 4, dtype=x.dtype, device=x.device).square() / (2 * SPREAD**2)
    )
    kernel = kernel / kernel.sum()
    flat = both.view(B * T * (C + 1), 1, h, w)
    flat = F.conv2d(flat, kernel.view(1, 1, 7, 1), padding=(3, 0))
    flat = F.conv2d(flat, kernel.view(1, 1, 1, 7), padding=(0, 3)).view(both.shape)
    total = both.mean((3, 4), keepdim=True)
    total = total[:, :, :C] / total[:, :, C:].clamp_min(1e-6)
    near, support = flat[:, :, :C], flat[:, :, C:]
    return (near + LEAST_SUPPORT * total) / (support + LEAST_SUPPORT)


def describe_blocks(
    lit: Tensor, apart: Tensor, far: Tensor, known: Tensor, frames: Tensor
) -> Tensor:
    """Return means over blocks of 4 pixels, (B T, 14, 2 h, 2 w): mask first, most distant last."""
    planes = (known, lit * known, apart, far, frames)
    means = [F.avg_pool2d(pad_to_multiple(p, STRIDE).flatten(0, 1), 4) for p in planes]
    most = F.max_pool2d(pad_to_multiple(far.amax(2, keepdim=True), STRIDE).flatten(0, 1), 4)
    return torch.cat((*means, most), dim=1)


def score_clues(shares: Tensor, apart: Tensor, far: Tensor, frames: Tensor) -> Tensor:
    """Return what the clues of every pixel add to its score, (B, T, 1, H, W).

    The clues: how far each channel is from the median, which way all are, and how clipped it is.
    """
    score = (shares[:, :, :3] * far).sum(2, keepdim=True)
    score = score + shares[:, :, 3:4] * apart.sum(2, keepdim=True)
    clipped = (frames.amax(2, keepdim=True) - NEARLY_CLIPPED).clamp_min(0)
    return CLUE_UNIT * (score + shares[:, :, 4:] * clipped)


def by_frame(x: Tensor, count: int) -> Tensor:
    """Return (B, T, ...) of (B T, ...)."""
    return x.view(-1, count, *x.shape[1:])
