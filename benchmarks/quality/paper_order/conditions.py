"""What is done to the frames of a sequence before networks see them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.quality.aligned import AlignedFrames, Disturbance, load_aligned
from diar_ops._seeds import generator_for
from diar_ops.data import SequenceDataset
from diar_ops.scene.flags import FrameFlag


class Condition(NamedTuple):
    """One way in which frames are spoiled further.

    Attributes:
        jitter: Mean corner error of every frame, in pixels.
        foreign: How many frames, never the first, show another picture.
    """

    jitter: float = 0.0
    foreign: int = 0


#: By name; "" leaves sequences as they are.
CONDITIONS = {
    "": Condition(),
    "jitter-1": Condition(jitter=1.0),
    "jitter-3": Condition(jitter=3.0),
    "foreign-1": Condition(foreign=1),
    "foreign-3": Condition(foreign=3),
}


def load_spoiled(folder: Path, other: Path, count: int, condition: Condition) -> AlignedFrames:
    """Return the first frames of a sequence under a condition.

    Args:
        folder: Of the sequence.
        other: Of one that shows another picture; its frames of the same numbers take the place of
            those that are foreign.
        count: How many frames.
        condition: The condition.

    Raises:
        ImageError: A sequence is not as it should be, or has too few frames.
    """
    aligned = load_aligned(folder, count, Disturbance(jitter=condition.jitter))
    if not condition.foreign:
        return aligned
    order = torch.randperm(count - 1, generator=generator_for("foreign", folder.name)) + 1
    chosen = order[: condition.foreign]
    frames = aligned.frames.clone()
    frames[0, chosen] = SequenceDataset(other, frames=count)[0]["frames"][chosen]
    return aligned._replace(frames=frames)


#: In which share of the frames a pixel is covered, or in shadow, to count as such.
COVERED, SHADED = 0.5, 0.3


def pixel_slices(folder: Path, count: int) -> dict[str, Tensor]:
    """Return which pixels of an aligned sequence are in each slice, (1, 1, H, W) bool each.

    Args:
        folder: Of the sequence.
        count: How many of its frames are seen.

    Raises:
        ImageError: The sequence is not as it should be, or has no masks.
    """
    item = SequenceDataset(folder, frames=count, masks=("occluded", "flags"))[0]
    covered = item["occluded"].double().mean(0)[None] >= COVERED
    shadow = (item["flags"] & int(FrameFlag.SHADOW) > 0).double().mean(0)[None] >= SHADED
    return {"covered": covered, "uncovered": ~covered, "shadow": shadow, "lit": ~shadow}
