"""Alignment that is not exact: small errors in all frames, large ones in some."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from diar_ops._checks import check_option
from diar_ops._errors import OptionError
from diar_ops._seeds import generator_for
from diar_ops.geometry import corner_error, homography_dlt

__all__ = ["GROSS", "Disturbance", "random_homography"]

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
            raise OptionError(
                f"sequence {sequence} has {count} frames: at most {count - 1} can be misaligned"
            )

    def homographies(self, sequence: str, count: int, taken: int, size: tuple[int, int]) -> Tensor:
        """Return where the frames of a sequence are moved to.

        Args:
            sequence: Its name.
            count: All frames that it has.
            taken: How many of them, from the first on, are wanted.
            size: (height, width) of the label.

        Returns:
            (taken, 3, 3) float64, disturbed ~ H @ label; the identity where nothing is disturbed.

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
                for t in range(taken)
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
