"""Every option of the training of a descriptor."""

from __future__ import annotations

from dataclasses import dataclass

from diar_ops.training.descriptors.pairs import PairRanges
from diar_ops.training.options import RunConfig, at_least, option

__all__ = ["DescriptorConfig"]


@dataclass(frozen=True, kw_only=True)
class DescriptorConfig(PairRanges, RunConfig):
    """Every option of the training of a :class:`DualDescriptor`; what each means stands beside it.

    Raises:
        OptionError: An option is not as stated.
    """

    size: int = option(256, "side of rendered frames", "PIXELS", bounds=at_least(16))
    sequences: int = option(1000, "how many pictures are rendered", bounds=at_least(1), free=True)
    pool_frames: int = option(4, "frames of each", "T", bounds=at_least(2))
    crop: int = option(
        128, "side of the photos that are made of frames", "PIXELS", bounds=at_least(16)
    )

    validation: tuple[str, ...] = option(
        (), "pictures to validate on, none of them above", "DIR", free=True
    )
    validate: int = option(48, "pairs of them", bounds=at_least(1), free=True)
    resnet18: str | None = option(None, "weights of a ResNet-18 to compare with", "FILE", free=True)
