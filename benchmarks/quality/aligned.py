"""The frames of a rendered sequence, warped to its label."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._checks import check_option
from diar_ops._errors import OptionError
from diar_ops._pixels import image_size
from diar_ops._seeds import generator_for
from diar_ops.data import SequenceDataset
from diar_ops.geometry import corner_error, homography_dlt, warp_homography
from diar_ops.pipeline import align_sequence


class AlignedFrames(NamedTuple):
    """The first T frames of a sequence, and the label that they should show.

    Attributes:
        frames: (1, T, 3, H, W) float32 in [0, 1].
        valid: (1, T, 1, H, W) bool; None if all pixels are.
        label: (1, 3, H, W) float32 in [0, 1].
    """

    frames: Tensor
    valid: Tensor | None
    label: Tensor

    def prefix(self, count: int) -> AlignedFrames:
        """Return the first frames only."""
        valid = None if self.valid is None else self.valid[:, :count]
        return AlignedFrames(self.frames[:, :count], valid, self.label)

    @property
    def covered(self) -> Tensor | None:
        """Where any frame shows the picture, (1, 1, H, W) bool; None if that is everywhere."""
        return None if self.valid is None else self.valid.any(dim=1)


def load_aligned(folder: str | PathLike[str], count: int, disturbance: Disturbance | None = None) -> AlignedFrames:
    """Read a sequence and warp its first frames to the label.

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
    size = image_size(label)
    disturbance = disturbance or Disturbance()
    moved = disturbance.homographies(Path(folder).name, len(dataset.sequence(0).frames), count, size)
    H_label_frame = torch.linalg.inv(item["homography_frame_label"])
    placed = torch.ones(count, dtype=torch.bool)
    if disturbance.self_aligned:
        alignment = align_sequence(frames, reference=0)
        H_label_frame = H_label_frame[0] @ alignment.homography_reference_frame
        placed = alignment.success
    return warp_to_label(frames, moved @ H_label_frame, label, placed)


def warp_to_label(frames: Tensor, homography_label_frame: Tensor, label: Tensor, placed: Tensor) -> AlignedFrames:
    """Warp frames to a label; those of a set that lie over it already stay as they are.

    Args:
        frames: (T, 3, H, W) floating point in [0, 1].
        homography_label_frame: (T, 3, 3), label ~ H @ frame.
        label: (3, h, w) in [0, 1].
        placed: (T,) bool; the others show nothing.
    """
    H = homography_label_frame
    still = (torch.eye(3, dtype=H.dtype) == H).all() & placed.all()
    if bool(still) and frames.shape[-2:] == label.shape[-2:]:
        return AlignedFrames(frames[None], None, label[None])
    size = image_size(label)
    warped = warp_homography(frames, H.to(frames.dtype), size=size)
    valid = warped.valid & placed[:, None, None, None]
    return AlignedFrames((warped.image * valid).clamp(0, 1)[None], valid[None], label[None])


def load_prefixes(
    folder: str | PathLike[str], counts: Iterable[int], disturbance: Disturbance
) -> dict[int, AlignedFrames]:
    """Return :func:`load_aligned` of each number of frames, reading and warping no frame twice.

    Self-aligned frames are aligned for each number anew: more frames are aligned otherwise, and a
    result must not depend on what else is computed.
    """
    numbers = sorted(set(counts))
    if disturbance.self_aligned:
        return {count: load_aligned(folder, count, disturbance) for count in numbers}
    longest = load_aligned(folder, numbers[-1], disturbance)
    return {count: longest.prefix(count) for count in numbers}


#: Mean corner errors of grossly misaligned frames, as shares of the longer side.
GROSS = (0.05, 0.3)


@dataclass(frozen=True)
class Disturbance:
    """How far frames are moved off their place.

    What is random depends on the name of the sequence and the number of the frame alone, so that
    the first T frames of a sequence are the same for every T.

    Attributes:
        jitter: Mean corner error of every frame, in pixels of the label.
        misaligned: How many frames of each sequence are moved by :data:`GROSS` instead; any but
            frame 0, which the others are aligned to.
        self_aligned: Whether :func:`align_sequence` lays the frames over frame 0, as it does for
            people who know no exact homographies; frame 0 lies over the label by its exact one.

    Raises:
        OptionError: A number is negative or not finite.
    """

    jitter: float = 0.0
    misaligned: int = 0
    self_aligned: bool = False

    def __post_init__(self) -> None:
        fits = 0 <= self.jitter < float("inf")
        check_option("Disturbance", fits, "jitter of 0 pixels or more", self.jitter)
        check_option("Disturbance", self.misaligned >= 0, "misaligned >= 0", self.misaligned)

    def check(self, sequence: str, count: int) -> None:
        """Raise :class:`OptionError` if a sequence of ``count`` frames cannot be disturbed so."""
        if self.misaligned >= count:
            raise OptionError(f"sequence {sequence} has {count} frames: at most {count - 1} can be misaligned")

    def homographies(self, sequence: str, count: int, used: int, size: tuple[int, int]) -> Tensor:
        """Return how the frames of a sequence are moved.

        Args:
            sequence: Its name.
            count: All frames that it has.
            used: How many of them, from the first on, to return.
            size: (height, width) of the label.

        Returns:
            (used, 3, 3) float64, disturbed ~ H @ label; the identity where nothing is disturbed.

        Raises:
            OptionError: The sequence has too few frames to misalign so many.
        """
        self.check(sequence, count)
        order = torch.randperm(count - 1, generator=generator_for("misaligned", sequence)) + 1
        gross = set(order[: self.misaligned].tolist())
        return torch.stack(
            [
                _gross(generator_for("gross", sequence, t), size)
                if t in gross
                else random_homography(self.jitter, size, generator_for("jitter", sequence, t))
                for t in range(used)
            ]
        )


def random_homography(pixels: float, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Return a random homography (3, 3) float64 whose mean corner error is ``pixels``.

    The corners move in Gaussian directions, by half together and by half each for itself; moves
    that fold the picture are drawn again.

    Raises:
        OptionError: ``pixels`` is more than half of the longer side.
    """
    eye = torch.eye(3, dtype=torch.float64)
    if pixels == 0:
        return eye
    if pixels > max(size) / 2:
        raise OptionError(f"{pixels:g} pixels are too much for a picture of {size[1]} x {size[0]}")
    right, bottom = size[1] - 1.0, size[0] - 1.0
    corners = torch.tensor([[0, 0], [right, 0], [right, bottom], [0, bottom]], dtype=torch.float64)
    while True:
        draw = torch.randn(5, 2, generator=generator, dtype=torch.float64)
        moves = draw[:4] + draw[4:]
        moves = moves * (pixels / torch.linalg.vector_norm(moves, dim=1).mean())
        moved = corners + moves
        H = homography_dlt(corners[None], moved[None])[0]
        if _is_convex(moved) and bool(corner_error(H, eye, size=size).isfinite()):
            return H / H[2, 2]


def _gross(generator: torch.Generator, size: tuple[int, int]) -> Tensor:
    low, high = GROSS
    share = low + (high - low) * float(torch.rand((), generator=generator))
    return random_homography(share * max(size), size, generator)


def _is_convex(quad: Tensor) -> bool:
    """Return whether the corners (4, 2) still run around the picture the same way."""
    along = quad.roll(-1, 0) - quad
    after = along.roll(-1, 0)
    return bool((along[:, 0] * after[:, 1] - along[:, 1] * after[:, 0] > 0).all())
