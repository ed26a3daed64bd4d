"""How bright all frames are together, told from how they differ."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["GRID", "UNIT", "CommonLight", "pool_frames"]

#: Cells of a side in which light is compared.
GRID = 8
#: Log factors between frames are about this large.
UNIT = 0.25


class CommonLight(nn.Module):
    """Tell the light that all frames share from their differences.

    Frames tell each other's light only up to a common factor at every place. But light has a form:
    it falls off from lamps, ends at the rim of a spot, stays within a range of brightness. What
    the differences look like, over the whole picture and all frames, says what is common to them.
    Frames are a set: each is described by itself and beside the mean and the extremes of all.

    Args:
        channels: Width of all layers.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        cells = 3 * GRID**2
        self.describe = nn.Sequential(
            nn.Linear(cells, channels), nn.GELU(), nn.Linear(channels, channels), nn.GELU()
        )
        self.compare = nn.Sequential(
            nn.Linear(3 * channels, channels), nn.GELU(), nn.Linear(channels, channels), nn.GELU()
        )
        self.tell = nn.Sequential(
            nn.Linear(2 * channels, channels), nn.GELU(), nn.Linear(channels, cells)
        )

    def forward(self, relative: Tensor, seen: Tensor | None = None) -> Tensor:
        """Return the mean over frames of their log factors, (B, 3, 8, 8).

        Args:
            relative: (B, T, 3, 8, 8) log factors of the frames, less their mean over frames.
            seen: Optional (B, T) bool, which frames count.
        """
        x = self.describe(relative.flatten(2) / UNIT)
        mean, most = pool_frames(x, seen)
        both = torch.cat((mean, most), dim=-1)[:, None].expand(-1, x.shape[1], -1)
        x = self.compare(torch.cat((x, both), dim=-1))
        told: Tensor = self.tell(torch.cat(pool_frames(x, seen), dim=-1))
        return UNIT * told.view(-1, 3, GRID, GRID)


def pool_frames(x: Tensor, seen: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return mean and maximum over the frames of (B, T, C) that count; 0 without any."""
    if seen is None:
        return x.mean(1), x.amax(1)
    counts = seen[..., None]
    mean = (x * counts).sum(1) / counts.sum(1).clamp_min(1)
    most = torch.where(counts, x, torch.finfo(x.dtype).min).amax(1)
    return mean, torch.where(counts.any(1), most, 0)
