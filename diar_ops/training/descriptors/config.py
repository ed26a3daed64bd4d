"""Every option of the training of a descriptor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from diar_ops._options import option
from diar_ops.training.descriptors.pairs import PairRanges
from diar_ops.training.options import RunConfig, at_least


@dataclass(frozen=True, kw_only=True)
class DescriptorConfig(PairRanges, RunConfig):
    """Every option of the training of a :class:`DualDescriptor`; what each means stands beside it.

    Raises:
        OptionError: An option is not as stated.
    """

    size: Annotated[int, at_least(16)] = option(256, "side of rendered frames", "PIXELS")
    sequences: Annotated[int, at_least(1)] = option(1000, "how many pictures are rendered", free=True)
    pool_frames: Annotated[int, at_least(2)] = option(4, "frames of each", "T")
    crop: Annotated[int, at_least(16)] = option(128, "side of the photos that are made of frames", "PIXELS")

    validation: tuple[str, ...] = option((), "pictures to validate on, none of them above", "DIR", free=True)
    validate: Annotated[int, at_least(1)] = option(48, "pairs of them", free=True)
    resnet18: str | None = option(None, "weights of a ResNet-18 to compare with", "FILE", free=True)
