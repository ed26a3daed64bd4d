"""What a method of alignment gives, and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

__all__ = ["Align", "Aligner", "Estimate"]


class Estimate(NamedTuple):
    """Where a method lays the frames of a sequence over its frame 0.

    Attributes:
        homography_reference_frame: (T, 3, 3) float64, reference ~ H @ frame, in pixels; the
            identity where ``success`` is False.
        success: (T,) bool, whether the method calls the frame aligned.
    """

    homography_reference_frame: Tensor
    success: Tensor

    @classmethod
    def of(cls, homographies: Mapping[int, Tensor], count: int) -> Estimate:
        """Return the estimate of ``count`` frames, of which some have a homography."""
        eye = torch.eye(3, dtype=torch.float64)
        return cls(
            torch.stack([homographies.get(t, eye).to(torch.float64) for t in range(count)]),
            torch.tensor([t in homographies for t in range(count)]),
        )


#: Maps frames (T, 3, H, W) float32 in [0, 1] to an :class:`Estimate`.
Align: TypeAlias = Callable[[Tensor], Estimate]


class Aligner(NamedTuple):
    """One way to align the frames of a sequence.

    Attributes:
        name: As results call it.
        words: What it does, in one line.
        settings: All that its results depend on beside the frames: options, versions, digests of
            weights.
        align: Does it.
    """

    name: str
    words: str
    settings: str
    align: Align
