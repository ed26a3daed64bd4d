"""Veils, estimated from how the darks of frames differ from how their brights do."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from diar_ops._checks import is_exporting, solve_dtype
from diar_ops.models.faithful.frame_set import UNIT, FrameSetEncoder

#: Shares of the pixels, darkest first, between which tones lie.
EDGES = (0.0, 0.015, 0.04, 0.08, 0.15, 0.25, 0.4, 0.6, 0.8, 1.0)
TONES = len(EDGES) - 1
#: Logs of tones are spread about this much.
SPREAD_OF_TONES = 0.5


def tone_curves(difference: Tensor, median: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Return the differences of frames from the median in its dark and bright parts.

    Args:
        difference: (B, T, C, H, W) log differences of frames from the median over frames.
        median: (B, 1, 3, H, W) log of the median.
        valid: (B, T, 1, H, W) bool.

    Returns:
        curve: (B, T, C, N) median difference of each frame within each of N tones of the median; 0
            where a frame does not show it.
        level: (B, 1, 3, N) median log of the tones.
    """
    dtype = solve_dtype(difference.dtype)  # half precision knows no median everywhere
    shown = valid.any(dim=1, keepdim=True)
    # What no frame shows comes last, and is unknown there.
    grey = torch.where(shown[:, :, 0], median.mean(2), torch.inf)
    order = grey.flatten(2).argsort(dim=2)[:, :, None]
    planes = []
    for x, known in ((difference, valid), (median, shown)):
        flat = torch.where(known, x, torch.nan).to(dtype).flatten(3)
        planes.append(flat.gather(3, order.expand_as(flat)))
    count = planes[0].shape[3]
    ends = [round(edge * count) for edge in EDGES]
    tones = [
        torch.cat(
            [_nanmedian(plane[..., min(start, count - 1) : max(end, start + 1)]) for start, end in pairwise(ends)],
            dim=3,
        ).nan_to_num(0.0)
        for plane in planes
    ]
    return tones[0].to(difference.dtype), tones[1].to(difference.dtype)


def _nanmedian(x: Tensor) -> Tensor:
    """Return the (lower) median of the numbers along the last axis, NaN where there is none."""
    if not is_exporting():
        return x.nanmedian(-1, keepdim=True).values
    # ONNX has no such operation: the same by sorting, which takes three times as long.
    known = ~x.isnan()
    count = known.sum(-1, keepdim=True)
    ordered = torch.where(known, x, torch.inf).sort(-1).values
    median = ordered.gather(-1, (count - 1).clamp_min(0) // 2)
    return torch.where(count > 0, median, torch.nan)


class ToneVeil(FrameSetEncoder):
    """Estimate veils, and the brightness of what lies behind them, from tone curves.

    A veil adds the same light to all tones of a picture, and so changes the darks by a larger
    factor than the brights. Veils of one picture differ by a share of themselves: how differently
    frames render its darks says how much of these is veil.

    Args:
        channels: Width of all layers.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(9 * TONES, channels)
        self.haze = nn.Linear(3 * channels, 3)
        self.common = nn.Linear(2 * channels, 3)
        for layer in (self.haze, self.common):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, curve: Tensor, level: Tensor, shown: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return logs of factors on veils (B, T, 3), and log factors of the picture (B, 1, 3).

        Args:
            curve: (B, T, 6, N), see :func:`tone_curves`: as they are, and less a smooth field.
            level: (B, 1, 3, N).
            shown: Optional (B, T) bool, which frames count.
        """
        level = (level / SPREAD_OF_TONES).expand(-1, curve.shape[1], -1, -1)
        x, pooled = self.encode(torch.cat((curve / UNIT, level), dim=2).flatten(2), shown)
        pooled = pooled[:, None]
        haze: Tensor = self.haze(torch.cat((x, pooled.expand(-1, x.shape[1], -1)), dim=-1))
        common: Tensor = self.common(pooled)
        return haze, UNIT * common
