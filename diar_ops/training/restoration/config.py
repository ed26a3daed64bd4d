"""Every option of the training of a network that restores pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from diar_ops._errors import OptionError
from diar_ops._options import option
from diar_ops.training.options import SHARE, Bounds, RunConfig, at_least
from diar_ops.training.restoration.augment import AugmentRanges

SIDES = Bounds("sides of at least 11 pixels", lambda sides: bool(sides) and min(sides) >= 11)
FRAME_RANGE = Bounds("1 <= fewest <= most frames", lambda frames: len(frames) == 2 and 1 <= frames[0] <= frames[1])


@dataclass(frozen=True, kw_only=True)
class RestorationConfig(AugmentRanges, RunConfig):
    """Every option of a training run; what each means stands beside it.

    The defaults of ``sequences``, ``held_out``, ``batch``, ``epochs``, ``frames`` and the optimiser
    (Adam) are the paper's.

    Raises:
        OptionError: An option is not as stated.
    """

    network: str = option("DIAR", "which network", "NAME")

    sizes: Annotated[tuple[int, ...], SIDES] = option((128,), "sides of rendered sequences, pixels", "PIXELS")
    sequences: tuple[int, ...] = option(
        (15000,), "how many of each size; one number holds for all, 0 for none", free=True
    )
    size_shares: tuple[float, ...] = option(
        (), "how often an item is of each size (default: as many as there are)", "SHARE"
    )
    pool_frames: Annotated[int, at_least(1)] = option(10, "frames of each rendered sequence", "T")
    held_out: Annotated[float, SHARE] = option(0.1, "share of them that is not trained on", "SHARE")
    cycles: tuple[str, ...] = option((), "aligned sets of render_dataset.py to train on", "DIR")
    cycles_share: Annotated[float, SHARE] = option(0.3, "how often an item is of those", "SHARE")

    frames: Annotated[tuple[int, int], FRAME_RANGE] = option((2, 10), "fewest and most frames of a batch", "T")
    favour: Annotated[float, at_least(0)] = option(1.0, "T frames are drawn with a weight of T to this power", "POWER")
    crops: Annotated[tuple[int, ...], SIDES] = option((64,), "sides of crops, one drawn for each batch", "PIXELS")
    whole: Annotated[int, at_least(1)] = option(64, "side of the small copies of whole frames", "PIXELS")
    bare: Annotated[int, at_least(0)] = option(
        8, "sequences of bare light with every item, for networks that tell the light"
    )
    ssim_weight: Annotated[float, at_least(0)] = option(5.0, "weight of 1 - SSIM beside decibels", "WEIGHT")

    validation: tuple[str, ...] = option((), "aligned sets to validate on", "DIR", free=True)
    validate: Annotated[int, at_least(0)] = option(
        40, "rendered sequences to validate on, of those held out", free=True
    )

    def __post_init__(self) -> None:
        """Check the options, one by one and together."""
        super().__post_init__()
        self._check("held_out", self.held_out < 1, "less than 1")
        each = len(self.sequences) in (1, len(self.sizes)) and min(self.sequences) >= 0
        self._check("sequences", each, "one number, or one for each size")
        shares = self.size_shares
        fits = not shares or (len(shares) == len(self.sizes) and min(shares) >= 0 < max(shares))
        self._check("size_shares", fits, "one share for each size, or none")
        if not any(self.sequences) and not self.cycles:
            raise OptionError("nothing to train on: give sequences to render, or cycles")
        if any(self.sequences) and self.frames[1] > self.pool_frames:
            raise OptionError(
                f"items of up to {self.frames[1]} frames need rendered sequences of as many, "
                f"got pool_frames={self.pool_frames}"
            )
