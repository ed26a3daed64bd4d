"""Every option of a training run."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

from diar_ops._errors import OptionError
from diar_ops.training.options import RunConfig, option
from diar_ops.training.restoration.augment import AugmentRanges

__all__ = ["TrainConfig"]


@dataclass(frozen=True)
class TrainConfig(RunConfig):
    """Every option of a training run; what each means stands beside it.

    The defaults of ``sequences``, ``held_out``, ``batch``, ``epochs``, ``frames`` and the optimiser
    (Adam) are the paper's.

    Raises:
        OptionError: An option is not as stated.
    """

    network: str = option("DIAR", "which network", "NAME")
    options: tuple[str, ...] = option((), "its options", "KEY=VALUE")
    initial: str | None = option(None, "weights to start from (fine-tuning)", "FILE")

    textures: tuple[str, ...] = option(
        (), "pictures to render; without them all are drawn ones", "DIR"
    )
    procedural: float | None = option(
        None, "share of drawn pictures: pages, posters, maps, ... (default: half, or all)", "SHARE"
    )
    pool: str | None = option(
        None, "where rendered sequences are kept, for all runs; without it none is kept", "DIR"
    )
    sizes: tuple[int, ...] = option((128,), "sides of rendered sequences, pixels", "PIXELS")
    sequences: tuple[int, ...] = option(
        (15000,), "how many of each size; one number holds for all, 0 for none"
    )
    size_shares: tuple[float, ...] = option(
        (), "how often an item is of each size (default: as many as there are)", "SHARE"
    )
    pool_frames: int = option(10, "frames of each rendered sequence", "T")
    pool_seed: int = option(1, "another seed, other rendered sequences", "K")
    held_out: float = option(0.1, "share of them that is not trained on", "SHARE")
    cycles: tuple[str, ...] = option((), "aligned sets of render_dataset.py to train on", "DIR")
    cycles_share: float = option(0.3, "how often an item is of those", "SHARE")

    frames: tuple[int, int] = option((2, 10), "fewest and most frames of a batch", "T")
    favour: float = option(1.0, "T frames are drawn with a weight of T to this power", "POWER")
    crops: tuple[int, ...] = option((64,), "sides of crops, one drawn for each batch", "PIXELS")
    whole: int = option(64, "side of the small copies of whole frames", "PIXELS")
    plain: float = option(0.6, "share of items that no camera but an ideal one takes", "SHARE")
    jitter: float = option(1.0, "most misalignment of frames, pixels (deviation)", "PIXELS")
    exact: float = option(0.5, "share of items whose frames are exactly aligned", "SHARE")
    misaligned: float = option(0.1, "share of items with one frame that is far off", "SHARE")
    partial: float = option(0.3, "share of items with frames that show only a part", "SHARE")
    permute: float = option(0.5, "share of items whose colour channels change places", "SHARE")
    albedo: float = option(0.3, "share of items with a darker picture", "SHARE")

    bare: int = option(
        8, "sequences of bare light with every item, for networks that tell the light"
    )

    ssim_weight: float = option(5.0, "weight of 1 - SSIM beside decibels", "WEIGHT")

    validation: tuple[str, ...] = option((), "aligned sets to validate on", "DIR")
    validate: int = option(40, "rendered sequences to validate on, of those held out")

    #: More sequences than before are used from the next step on.
    FREE: ClassVar[frozenset[str]] = RunConfig.FREE | {
        "pool",
        "sequences",
        "validation",
        "validate",
    }

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with."""
        for name in ("frames", *(n for n in _TUPLES if n != "frames")):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        super().__post_init__()
        self._shares(*_SHARES)
        self._at_least(1, "pool_frames", "whole")
        self._at_least(0, "favour", "jitter", "ssim_weight", "bare", "validate")
        self._check("held_out", self.held_out < 1, "less than 1")
        fits = len(self.frames) == 2 and 1 <= self.frames[0] <= self.frames[1]
        self._check("frames", fits, "1 <= fewest <= most frames")
        for name in ("sizes", "crops"):
            sides = getattr(self, name)
            self._check(name, bool(sides) and min(sides) >= 11, "sides of at least 11 pixels")
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

    def augmentation(self) -> AugmentRanges:
        """Return the ranges of augmentation."""
        return AugmentRanges(**{f.name: getattr(self, f.name) for f in fields(AugmentRanges)})


_TUPLES = tuple(f.name for f in fields(TrainConfig) if str(f.type).startswith("tuple"))
_SHARES = (
    "procedural",
    "held_out",
    "cycles_share",
    "plain",
    "exact",
    "misaligned",
    "partial",
    "permute",
    "albedo",
)
