"""Veils told from how the darks of frames differ from how their brights do."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from diar_ops._checks import solve_dtype
from diar_ops.models.faithful.common_light import UNIT, pool_frames

__all__ = ["TONES", "ToneVeil", "tone_curves"]

#: Shares of the pixels, darkest first, between which tones lie.
EDGES = (0.0, 0.015, 0.04, 0.08, 0.15, 0.25, 0.4, 0.6, 0.8, 1.0)
TONES = len(EDGES) - 1
#: Logs of tones are spread about this much.
SPREAD_OF_TONES = 0.5


def tone_curves(apart: Tensor, middle: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Return how far frames are from the median in its dark and bright parts.

    Args:
        apart: (B, T, C, H, W) log distances of frames to the median over frames.
        middle: (B, 1, 3, H, W) log of the median.
        valid: (B, T, 1, H, W) bool.

    Returns:
        curve: (B, T, C, N) median distance of each frame within each of N tones of the median; 0
            where a frame does not show it.
        level: (B, 1, 3, N) median log of the tones.
    """
    dtype = solve_dtype(apart.dtype)  # half precision knows no median everywhere
    shown = valid.any(dim=1, keepdim=True)
    nan = float("nan")
    # What no frame shows comes last, and is unknown there.
    grey = torch.where(shown[:, :, 0], middle.mean(2), torch.inf)
    order = grey.flatten(2).argsort(dim=2)[:, :, None]
    planes = []
    for x, known in ((apart, valid), (middle, shown)):
        flat = torch.where(known, x, nan).to(dtype).flatten(3)
        planes.append(flat.gather(3, order.expand_as(flat)))
    last = planes[0].shape[3]
    ends = [round(edge * last) for edge in EDGES]
    tones = [
        torch.cat(
            [
                plane[..., min(a, last - 1) : max(b, a + 1)].nanmedian(3, keepdim=True).values
                for a, b in pairwise(ends)
            ],
            dim=3,
        ).nan_to_num(0.0)
        for plane in planes
    ]
    return tones[0].to(apart.dtype), tones[1].to(apart.dtype)


class ToneVeil(nn.Module):
    """Tell veils, and the brightness of what lies behind them, from tone curves.

    A veil adds the same light to all tones of a picture, and so changes the darks by a larger
    factor than the brights. Veils of one picture differ by a share of themselves: how differently
    frames render its darks tells how much of these is veil.

    Args:
        channels: Width of all layers.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.describe = nn.Sequential(
            nn.Linear(9 * TONES, channels), nn.GELU(), nn.Linear(channels, channels), nn.GELU()
        )
        self.compare = nn.Sequential(
            nn.Linear(3 * channels, channels), nn.GELU(), nn.Linear(channels, channels), nn.GELU()
        )
        self.haze = nn.Linear(3 * channels, 3)
        self.common = nn.Linear(2 * channels, 3)
        for layer in (self.haze, self.common):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self, curve: Tensor, level: Tensor, seen: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return logs of factors on veils (B, T, 3), and log factors of the picture (B, 1, 3).

        Args:
            curve: (B, T, 6, N), see :func:`tone_curves`: as they are, and less a smooth field.
            level: (B, 1, 3, N).
            seen: Optional (B, T) bool, which frames count.
        """
        level = (level / SPREAD_OF_TONES).expand(-1, curve.shape[1], -1, -1)
        x = self.describe(torch.cat((curve / UNIT, level), dim=2).flatten(2))
        both = torch.cat(pool_frames(x, seen), dim=-1)[:, None].expand(-1, x.shape[1], -1)
        x = self.compare(torch.cat((x, both), dim=-1))
        pooled = torch.cat(pool_frames(x, seen), dim=-1)[:, None]
        haze: Tensor = self.haze(torch.cat((x, pooled.expand(-1, x.shape[1], -1)), dim=-1))
        common: Tensor = self.common(pooled)
        return haze, UNIT * common
