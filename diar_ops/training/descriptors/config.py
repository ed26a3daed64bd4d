"""Every option of the training of a descriptor."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

from diar_ops.training.descriptors.pairs import PairRanges
from diar_ops.training.options import RunConfig, option

__all__ = ["DescriptorConfig"]


@dataclass(frozen=True)
class DescriptorConfig(RunConfig):
    """Every option of the training of a :class:`DualDescriptor`; what each means stands beside it.

    Raises:
        OptionError: An option is not as stated.
    """

    options: tuple[str, ...] = option((), "options of the network", "KEY=VALUE")
    initial: str | None = option(None, "weights to start from (fine-tuning)", "FILE")

    textures: tuple[str, ...] = option(
        (), "pictures to render; without them all are drawn ones", "DIR"
    )
    procedural: float | None = option(
        None, "share of drawn pictures: pages, posters, maps, ... (default: half, or all)", "SHARE"
    )
    pool: str | None = option(
        None, "where rendered frames are kept, for all runs; without it none is kept", "DIR"
    )
    size: int = option(256, "side of rendered frames", "PIXELS")
    sequences: int = option(1000, "how many pictures are rendered")
    pool_frames: int = option(4, "frames of each", "T")
    pool_seed: int = option(1, "another seed, other rendered frames", "K")

    crop: int = option(128, "side of the photos that are made of frames", "PIXELS")
    rotation: float = option(45.0, "most that the photos of a pair are turned", "DEGREES")
    scale: float = option(2.5, "most that they differ in scale", "FACTOR")
    perspective: float = option(0.08, "most that a corner is moved", "SHARE")
    shift: float = option(0.15, "most that the middles are apart", "SHARE")
    near: float = option(0.25, "share of pairs that almost lie over each other", "SHARE")
    offset: float = option(5.0, "how far these are shifted", "PIXELS")
    plain: float = option(0.3, "share of photos that no camera but an ideal one takes", "SHARE")

    validation: tuple[str, ...] = option((), "pictures to validate on, none of them above", "DIR")
    validate: int = option(48, "pairs of them")
    resnet18: str | None = option(None, "weights of a ResNet-18 to compare with", "FILE")

    #: More sequences than before are used from the next step on.
    FREE: ClassVar[frozenset[str]] = RunConfig.FREE | {
        "pool",
        "sequences",
        "validation",
        "validate",
        "resnet18",
    }

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with."""
        super().__post_init__()
        for name in ("options", "textures", "validation"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        self._shares("procedural")
        self._at_least(1, "sequences", "validate")
        self._at_least(2, "pool_frames")
        self._at_least(16, "size", "crop")
        self.ranges()

    def ranges(self) -> PairRanges:
        """Return how the photos of a pair differ."""
        return PairRanges(**{f.name: getattr(self, f.name) for f in fields(PairRanges)})
