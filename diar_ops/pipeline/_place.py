"""Lay every frame over the reference and adjust all jointly, through a lens if they have one."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._types import PairMatches
from diar_ops.geometry import transform_points
from diar_ops.pipeline._frames import Photo, WorkingCopy, working_copy
from diar_ops.pipeline._joint import Adjusted, Tie, adjust, tie_neighbours, ties_of
from diar_ops.pipeline._lens import Lens, lens_of_pairs
from diar_ops.pipeline._pairs import Descriptor
from diar_ops.pipeline._refine import Refined, refine_all

__all__ = ["Placement", "Placer", "shown_points"]

#: Copies that are kept at a time, each of up to 12 MB: every pair needs two, and shrinking a large
#: photo anew for each is slow.
COPIES = 12
#: Corners that a better known lens moves by more pixels of the copies are worth another round.
BETTER_LENS = 2.0


class Placement(NamedTuple):
    """Where the frames lie.

    Attributes:
        refined: What came of each frame but the reference.
        ties: Where frames show the same.
        adjusted: The homographies of all frames, the identity where none was found, and the lens.
    """

    refined: dict[int, Refined]
    ties: list[Tie]
    adjusted: Adjusted


class Placer(NamedTuple):
    """How frames are placed.

    Attributes:
        photos: The frames and their masks.
        sizes: (height, width) of each.
        pairs: The matched pairs, in full-resolution pixels.
        reference: The reference frame.
        refinement_size: Longest side of the copies that are worked on, in pixels.
        joint: Whether frames are adjusted jointly.
        distortion: See :func:`bundle_adjust_homographies`.
        descriptor: Of cells by which frames are caught that lie too far off for their pixels.
        generator: Source of randomness.
        device: Where to compute.
        progress: Called with (name of the step, done, in all).
    """

    photos: list[Photo]
    sizes: list[tuple[int, int]]
    pairs: PairMatches
    reference: int
    refinement_size: int
    joint: bool
    distortion: str
    descriptor: Descriptor
    generator: torch.Generator | None
    device: torch.device
    progress: Callable[[str, int, int], None]

    def __call__(self, chained: dict[int, Tensor]) -> Placement:
        """Place frames whose ``homography_reference_frame`` is right to some pixels.

        The lens is known roughly from the matched cells. Where the pixels tell much more of it,
        they are compared once more.
        """
        if self.distortion == "none":
            return self._round(chained, Lens(0.0, self.sizes))
        lens, chained = lens_of_pairs(self.pairs, chained, self.sizes, self.reference)
        found = self._round(chained, lens)
        change = abs(found.adjusted.lens.distortion - lens.distortion)
        if change * self.refinement_size / math.sqrt(2) > BETTER_LENS:
            better = {t: found.adjusted.homography[t] for t, r in found.refined.items() if r.agreed}
            found = self._round(chained | better, found.adjusted.lens)
        return found

    def _round(self, chained: dict[int, Tensor], lens: Lens) -> Placement:
        """Place frames through a lens, which the joint adjustment may know better in the end."""

        @lru_cache(COPIES)
        def copy_of(t: int) -> WorkingCopy:
            return working_copy(*self.photos[t], self.refinement_size, self.device, lens.distortion)

        refined = refine_all(
            chained,
            self.pairs,
            self.reference,
            copy_of,
            self.descriptor,
            self.generator,
            self.progress,
        )
        placed = {t: found for t, found in refined.items() if found.agreed}
        homography = torch.eye(3, dtype=torch.float64).repeat(len(self.sizes), 1, 1)
        for t, found in placed.items():
            homography[t] = found.homography_reference_frame
        ties = ties_of(placed, lens)
        # The lens of the cells alone is a start for the pixels, not a result.
        unknown = 0.0 if self.distortion == "none" else math.inf
        adjusted = Adjusted(homography, lens if ties else Lens(0.0, self.sizes), unknown)
        if self.joint:
            shown = {
                t: shown_points(homography[t], t, self.sizes[self.reference], lens) for t in placed
            }
            beside = tie_neighbours(placed, shown, copy_of, lens, self.progress)
            ties += beside
            if beside or (ties and self.distortion != "none"):
                adjusted = adjust(ties, homography, self.sizes, self.reference, self.distortion)
        return Placement(refined, ties, adjusted)


def shown_points(
    homography_reference_frame: Tensor, frame: int, reference: tuple[int, int], lens: Lens
) -> Tensor:
    """Return (4096,) bool, which points of a grid on the reference the frame shows."""
    y, x = torch.meshgrid(
        (torch.arange(64, dtype=torch.float64) + 0.5) * reference[0] / 64 - 0.5,
        (torch.arange(64, dtype=torch.float64) + 0.5) * reference[1] / 64 - 0.5,
        indexing="ij",
    )
    grid = torch.stack([x, y], dim=-1).reshape(-1, 2)
    points, in_front = transform_points(grid, torch.linalg.inv(homography_reference_frame))
    points, exist = lens.bend(points, frame)
    height, width = lens.sizes[frame]
    limit = torch.tensor([width - 0.5, height - 0.5], dtype=torch.float64)
    return ((points >= -0.5) & (points <= limit)).all(dim=-1) & in_front & exist
