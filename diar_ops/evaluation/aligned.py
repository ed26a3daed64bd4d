"""The frames of a rendered sequence, laid over its label."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops.data import SequenceDataset
from diar_ops.evaluation.disturbance import Disturbance
from diar_ops.geometry import warp_homography
from diar_ops.pipeline import align_sequence

__all__ = ["Aligned", "lay_frames", "load_aligned", "load_prefixes"]


class Aligned(NamedTuple):
    """The first T frames of a sequence and what they should show.

    Attributes:
        frames: (1, T, 3, H, W) float32 in [0, 1].
        valid: (1, T, 1, H, W) bool; None if all pixels are.
        label: (1, 3, H, W) float32 in [0, 1].
    """

    frames: Tensor
    valid: Tensor | None
    label: Tensor

    def first(self, count: int) -> Aligned:
        """Return the first frames only."""
        valid = None if self.valid is None else self.valid[:, :count]
        return Aligned(self.frames[:, :count], valid, self.label)

    @property
    def shown(self) -> Tensor | None:
        """(1, 1, H, W) bool, where any frame shows the picture; None if that is everywhere."""
        return None if self.valid is None else self.valid.any(dim=1)


def load_aligned(
    folder: str | PathLike[str], count: int, disturbance: Disturbance | None = None
) -> Aligned:
    """Read a sequence and lay its first frames over the label.

    By their exact homographies, or as ``disturbance`` says.

    Args:
        folder: Of the sequence.
        count: How many frames.
        disturbance: How far they are moved off their place; frames are resampled only once.

    Raises:
        ImageError: The sequence is not as it should be, or has too few frames.
        OptionError: It cannot be disturbed so.
    """
    dataset = SequenceDataset(folder, frames=count)
    item = dataset[0]
    frames, label = item["frames"], item["label"]
    size = (label.shape[-2], label.shape[-1])
    disturbance = disturbance or Disturbance()
    moved = disturbance.homographies(
        Path(folder).name, len(dataset.sequence(0).frames), count, size
    )
    H_label_frame = torch.linalg.inv(item["homography_frame_label"])
    placed = torch.ones(count, dtype=torch.bool)
    if disturbance.self_aligned:
        found = align_sequence(frames, reference=0)
        H_label_frame = H_label_frame[0] @ found.homography_reference_frame
        placed = found.success
    return lay_frames(frames, moved @ H_label_frame, label, placed)


def lay_frames(
    frames: Tensor, homography_label_frame: Tensor, label: Tensor, placed: Tensor
) -> Aligned:
    """Lay frames over a label; as they are, where they lie there already.

    Args:
        frames: (T, 3, H, W) floating point in [0, 1].
        homography_label_frame: (T, 3, 3), label ~ H @ frame.
        label: (3, h, w) in [0, 1].
        placed: (T,) bool; the others show nothing.
    """
    H = homography_label_frame
    still = (torch.eye(3, dtype=H.dtype) == H).all() & placed.all()
    if bool(still) and frames.shape[-2:] == label.shape[-2:]:
        return Aligned(frames[None], None, label[None])
    size = (label.shape[-2], label.shape[-1])
    laid = warp_homography(frames, H.to(frames.dtype), size=size)
    valid = laid.valid & placed[:, None, None, None]
    return Aligned((laid.image * valid).clamp(0, 1)[None], valid[None], label[None])


def load_prefixes(
    folder: str | PathLike[str], counts: Iterable[int], disturbance: Disturbance
) -> dict[int, Aligned]:
    """Return :func:`load_aligned` of each number of frames, reading and laying no frame twice.

    Self-aligned frames are aligned for each number anew: more frames are aligned otherwise, and a
    result must not depend on what else is wanted.
    """
    numbers = sorted(set(counts))
    if disturbance.self_aligned:
        return {count: load_aligned(folder, count, disturbance) for count in numbers}
    longest = load_aligned(folder, numbers[-1], disturbance)
    return {count: longest.first(count) for count in numbers}
