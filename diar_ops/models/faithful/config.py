"""Sizes of the faithful network."""

from __future__ import annotations

from dataclasses import dataclass, fields

from diar_ops._checks import check_option
from diar_ops.models._options import MOST_BLOCKS, MOST_CHANNELS, MOST_SIDE, is_integer, is_window


@dataclass(frozen=True)
class FaithfulDIARConfig:
    """Sizes of a :class:`FaithfulDIAR`.

    Attributes:
        whole_channels: Channels of the pass over small copies.
        whole_blocks: Its Swin blocks.
        common_channels: Width of the layers that estimate the light common to all frames.
        context_channels: Features that it passes on to the pass over pixels, per token.
        channels: Channels of the pass over pixels; even.
        blocks: Its Swin blocks.
        heads: Heads of all attention; they divide both numbers of channels.
        window: (frames, rows, columns) of its windows, in tokens of 8 pixels; ``None`` frames are
            all of them.

    Raises:
        OptionError: A field is not as stated.
    """

    whole_channels: int = 96
    whole_blocks: int = 4
    common_channels: int = 320
    context_channels: int = 16
    channels: int = 64
    blocks: int = 3
    heads: int = 4
    window: tuple[int | None, int, int] = (None, 4, 4)

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name != "window":
                value = getattr(self, field.name)
                most = MOST_BLOCKS if field.name.endswith("blocks") else MOST_CHANNELS
                self._check(field.name, is_integer(value, most=most), f"a positive integer up to {most}")
        self._check("channels", self.channels % 2 == 0, "an even number")
        for name in ("whole_channels", "channels"):
            divides = getattr(self, name) % self.heads == 0
            self._check(name, divides, f"a number that {self.heads} heads divide")
        expected = f"(frames or None, rows, columns) of positive sizes up to {MOST_SIDE}"
        self._check("window", is_window(self.window), expected)

    def _check(self, name: str, fits: bool, expected: str) -> None:
        check_option(f"FaithfulDIARConfig.{name}", fits, expected, getattr(self, name))
