"""The light that all frames share, estimated from how they differ."""

from __future__ import annotations

from torch import Tensor, nn

from diar_ops.models.faithful.frame_set import UNIT, FrameSetEncoder

#: Cells of a side in which light is compared.
GRID = 8


class CommonLight(FrameSetEncoder):
    """Estimate the light that all frames share from their differences.

    Differences between frames give their light only up to a common factor at every place. But light
    has a form: it falls off from lamps, ends at the rim of a spot, stays within a range of
    brightness. What the differences look like, over the whole picture and all frames, says what is
    common to them.

    Args:
        channels: Width of all layers.
    """

    def __init__(self, channels: int) -> None:
        cells = 3 * GRID**2
        super().__init__(cells, channels)
        self.tell = nn.Sequential(nn.Linear(2 * channels, channels), nn.GELU(), nn.Linear(channels, cells))

    def forward(self, relative: Tensor, shown: Tensor | None = None) -> Tensor:
        """Return the mean over frames of their log factors, (B, 3, 8, 8).

        Args:
            relative: (B, T, 3, 8, 8) log factors of the frames, less their mean over frames.
            shown: Optional (B, T) bool, which frames count.
        """
        _, pooled = self.encode(relative.flatten(2) / UNIT, shown)
        common: Tensor = self.tell(pooled)
        return UNIT * common.view(-1, 3, GRID, GRID)
