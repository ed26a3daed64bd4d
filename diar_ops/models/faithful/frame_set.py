"""Features of a set of frames, whatever their order and number."""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: Log factors between frames are about this large.
UNIT = 0.25


def mlp(inputs: int, channels: int) -> nn.Sequential:
    """Return two linear layers, each with an activation behind it."""
    return nn.Sequential(nn.Linear(inputs, channels), nn.GELU(), nn.Linear(channels, channels), nn.GELU())


def pool_frames(x: Tensor, shown: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return mean and maximum over the frames of (B, T, C) that count; 0 without any.

    Args:
        x: (B, T, C).
        shown: (B, T) bool, the frames that count; all by default.
    """
    if shown is None:
        return x.mean(1), x.amax(1)
    mask = shown[..., None]
    mean = (x * mask).sum(1) / mask.sum(1).clamp_min(1)
    maximum = torch.where(mask, x, torch.finfo(x.dtype).min).amax(1)
    return mean, torch.where(mask.any(1), maximum, 0)


class FrameSetEncoder(nn.Module):
    """Describe each frame by itself, then beside the mean and the maximum of all.

    Args:
        inputs: Numbers of a frame.
        channels: Width of all layers.
    """

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.describe = mlp(inputs, channels)
        self.compare = mlp(3 * channels, channels)

    def encode(self, x: Tensor, shown: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return features of frames (B, T, C), and mean and maximum of them (B, 2 C).

        Args:
            x: (B, T, inputs).
            shown: (B, T) bool, the frames that count; all by default.
        """
        x = self.describe(x)
        pooled = torch.cat(pool_frames(x, shown), dim=-1)[:, None].expand(-1, x.shape[1], -1)
        x = self.compare(torch.cat((x, pooled), dim=-1))
        return x, torch.cat(pool_frames(x, shown), dim=-1)
