"""A stage of attention between frames."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diar_ops.aggregate import SwinBlock


class Stage(nn.Module):
    """A depthwise convolution, a Swin block, and with ``pool`` a residual of pooled frames."""

    def __init__(
        self, channels: int, heads: int, window: tuple[int | None, int, int], shift: bool, *, pool: bool = False
    ) -> None:
        super().__init__()
        self.near = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.block = SwinBlock(channels, window=window, shift=shift, heads=heads)
        self.pool: nn.Module | None = None
        if pool:
            self.pool = nn.Sequential(nn.Linear(6 * channels, channels), nn.GELU(), nn.Linear(channels, channels))
        # Swin's deviation of 0.02 is made for many more channels; here it would begin as nothing.
        for layer in (self.block.qkv, self.block.proj, self.block.mlp_in, self.block.mlp_out):
            nn.init.xavier_uniform_(layer.weight)
        nn.init.trunc_normal_(self.near.weight, std=0.02)

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        """Map (B, T, C, h, w), whose ``tokens`` (B, T, 1, h, w) count, to the same shape."""
        x = x + self.near(x.flatten(0, 1)).view(x.shape)
        x = self.block(x, tokens)
        if self.pool is None:
            return x
        # Mean and extremes of each frame, and of all frames: how bright the picture is shows in how
        # the light of the frames is spread, how black its black is in the extremes of each.
        frame = torch.cat((x.mean((3, 4)), x.amax((3, 4))), dim=-1)
        shown = tokens.flatten(2).any(dim=2, keepdim=True)  # [B, T, 1]
        # As pool_frames, but the maximum first: gradients are summed in the order of the steps, and
        # runs that began so go on bit for bit.
        maximum = torch.where(shown, frame, torch.finfo(frame.dtype).min).amax(1)
        maximum = torch.where(shown.any(dim=1), maximum, 0)
        mean = (frame * shown).sum(1) / shown.sum(dim=1).clamp_min(1)
        pooled = torch.cat((mean, maximum), dim=-1)[:, None]
        both = torch.cat((frame, pooled.expand(-1, x.shape[1], -1)), dim=-1)
        update: Tensor = self.pool(both)[..., None, None]
        return x + update
