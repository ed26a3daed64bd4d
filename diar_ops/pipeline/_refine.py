"""Lay a frame over the reference to a fraction of a pixel, or refuse it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._pixels import image_size
from diar_ops._types import FeatureMap, Matches, PairMatches, RefinedHomography
from diar_ops.geometry import (
    ransac_homography,
    refine_homography,
    transform_points,
    warp_homography,
)
from diar_ops.matching import match_local
from diar_ops.pipeline._frames import WorkingCopy, hide_invalid, smaller_copy
from diar_ops.pipeline._graph import plausible
from diar_ops.pipeline._pairs import EVIDENCE_CELLS, Descriptor

__all__ = ["QUANTILES", "Refined", "Refiner", "convincing", "full_resolution", "refine_all"]

# Of the distances that Alignment.spread reports.
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
#: A frame is in its place if at least this share of the texture is alike, and if its corner_sigma
#: is at most this share of the longer side. Much of a photo's texture may be noise or reflections,
#: so that little of it is alike; then the rest must fix the corners the better.
EVIDENCE = ((0.2, 0.0015), (0.1, 0.0005))
#: Shorter side of the copies that are refined, in pixels, at least.
_LEAST_SIDE = 100
#: Search window of what the pairs' homographies leave over, in cells of the descriptor.
_RADIUS = 3
#: Inlier threshold there, in cells.
_THRESHOLD = 0.5


class Refined(NamedTuple):
    """A frame laid over another.

    Attributes:
        homography_reference_frame: (3, 3) float64 in full-resolution pixels, undistorted ones where
            a lens is known.
        agreed: Whether enough of the pictures agrees on it.
        spread: (5,) see :attr:`Alignment.spread`.
        anchor: Index of the frame that it was laid over.
        points: (N, 2) positions in the frame and (N, 2) in the anchor that show the same, float64
            in full-resolution pixels, undistorted ones where a lens is known.
    """

    homography_reference_frame: Tensor
    agreed: bool
    spread: Tensor
    anchor: int
    points: tuple[Tensor, Tensor]


class Refiner:
    """Refines frames against one reference.

    Args:
        anchor: Index of the reference among the frames.
        reference: Its working copy.
        descriptor: Of cells by which frames are caught that lie too far off for their pixels.
        generator: Source of randomness.
    """

    def __init__(
        self,
        anchor: int,
        reference: WorkingCopy,
        descriptor: Descriptor,
        generator: torch.Generator | None,
    ) -> None:
        self.anchor = anchor
        self.reference = reference
        self.descriptor = descriptor
        self.generator = generator

    @cached_property
    def _cells(self) -> FeatureMap:
        """Of the reference; few frames have to be caught by them."""
        return self.descriptor(hide_invalid(self.reference.image, self.reference.valid))

    @cached_property
    def _half(self) -> Refiner | None:
        """The same on copies of half the size, in which there is a quarter of the noise."""
        if min(image_size(self.reference.image)) < 2 * _LEAST_SIDE:
            return None
        small = smaller_copy(self.reference, self._longest // 2)
        return Refiner(self.anchor, small, self.descriptor, self.generator)

    def __call__(self, copy: WorkingCopy, homography_reference_frame: Tensor) -> Refined:
        """Refine one frame from a homography that is right to some pixels.

        On smaller copies where too little agrees: noise and blur hide small detail first.
        """
        found = self._on_copies(copy, homography_reference_frame)
        if found.agreed or self._half is None or min(image_size(copy.image)) < 2 * _LEAST_SIDE:
            return found
        small = smaller_copy(copy, max(image_size(copy.image)) // 2)
        return self._half(small, homography_reference_frame)

    def _on_copies(self, copy: WorkingCopy, homography_reference_frame: Tensor) -> Refined:
        """Refine one frame on copies of this size."""
        working = self.reference.working_full
        H = working @ homography_reference_frame @ torch.linalg.inv(copy.working_full)
        found = self._refine(copy, H)
        if not convincing(found, self._longest, EVIDENCE[:1]):
            # What is alike may be the noise of one camera: a better place goes before.
            caught = self._catch(copy, H)
            again = None if caught is None else self._refine(copy, caught)
            if again is not None and float(again.agreement) > float(found.agreement):
                found = again
        H = found.homography[0].cpu()
        if not (convincing(found, self._longest) and plausible(H, image_size(copy.image))):
            unknown = torch.full((len(QUANTILES),), float("nan"))
            nowhere = torch.zeros(0, 2, dtype=torch.float64)
            return Refined(
                homography_reference_frame, False, unknown, self.anchor, (nowhere, nowhere)
            )
        H = torch.linalg.inv(working) @ H @ copy.working_full
        here, there = full_resolution(found.matches, copy, self.reference)
        distance = (transform_points(here, H).points - there).norm(dim=-1)
        spread = torch.quantile(distance, torch.tensor(QUANTILES).to(distance)).float()
        return Refined(H, True, spread, self.anchor, (here, there))

    @property
    def _longest(self) -> int:
        return max(image_size(self.reference.image))

    def _refine(self, copy: WorkingCopy, H: Tensor) -> RefinedHomography:
        """Refine the homography of the copies on their pixels."""
        return refine_homography(
            copy.image,
            self.reference.image,
            H[None].to(copy.image.device),
            copy.valid,
            self.reference.valid,
        )

    def _catch(self, copy: WorkingCopy, H: Tensor) -> Tensor | None:
        """Match cells within a small window; return the homography that they agree on."""
        size = image_size(self.reference.image)
        warped = warp_homography(copy.image, H[None].to(copy.image), copy.valid, size=size)
        here = self._cells
        there = self.descriptor(hide_invalid(warped.image, warped.valid))
        found = match_local(here, there, radius=_RADIUS)
        estimate = ransac_homography(
            found.points1,
            found.points0,
            found.valid,
            threshold=_THRESHOLD * here.stride[0],
            independence=max(size) / EVIDENCE_CELLS,
            generator=self.generator,
        )
        H = estimate.homography[0].to("cpu", torch.float64) @ H
        sound = bool(estimate.success[0]) and plausible(H, image_size(copy.image))
        return H if sound else None


def convincing(
    found: RefinedHomography, longest: int, evidence: Sequence[tuple[float, float]] | None = None
) -> bool:
    """Return whether the refinement of one pair, whose longer side is given, can be trusted."""
    agreement, sigma = float(found.agreement), float(found.corner_sigma.max())
    return bool(found.success) and any(
        agreement >= least and sigma <= most * longest for least, most in evidence or EVIDENCE
    )


def full_resolution(
    matches: Matches, one: WorkingCopy, other: WorkingCopy
) -> tuple[Tensor, Tensor]:
    """Return the valid matches (N, 2) of one item in full-resolution pixels, on the CPU."""
    keep = matches.valid[0]
    here, there = (
        transform_points(
            points[0, keep].to("cpu", torch.float64), torch.linalg.inv(copy.working_full)
        ).points
        for points, copy in ((matches.points0, one), (matches.points1, other))
    )
    return here, there


def refine_all(
    chained: dict[int, Tensor],
    pairs: PairMatches,
    reference: int,
    copy_of: Callable[[int], WorkingCopy],
    descriptor: Descriptor,
    generator: torch.Generator | None,
    progress: Callable[[str, int, int], None],
) -> dict[int, Refined]:
    """Refine every frame that a chain reaches, to the reference or to a neighbour in place.

    Args:
        chained: ``homography_reference_frame`` by frame, the reference among them.
        pairs: The matched pairs, in full-resolution pixels.
        reference: The reference frame.
        copy_of: Returns the working copy of a frame.
        descriptor: See :class:`Refiner`.
        generator: Source of randomness.
        progress: Called with (name of the step, done, in all).

    Returns:
        What came of each frame but the reference.
    """
    others = sorted(set(chained) - {reference})
    if not others:
        return {}
    result = {}
    refine = Refiner(reference, copy_of(reference), descriptor, generator)
    for done, t in enumerate(others):
        result[t] = refine(copy_of(t), chained[t])
        progress("refining", done + 1, len(others))
    # A frame may share too little with the reference, yet enough with one that is in place. Each
    # frame that gets its place this way may be the neighbour of the next.
    placed_one = True
    while placed_one:
        placed_one = False
        for t in [t for t in others if not result[t].agreed]:
            step = _best_step(pairs, t, {p for p in others if result[p].agreed})
            if step is None:
                continue
            p, H_p_t = step
            found = Refiner(p, copy_of(p), descriptor, generator)(copy_of(t), H_p_t)
            if found.agreed:
                H = result[p].homography_reference_frame @ found.homography_reference_frame
                result[t] = found._replace(homography_reference_frame=H)
                placed_one = True
    return result


def _best_step(pairs: PairMatches, frame: int, placed: set[int]) -> tuple[int, Tensor] | None:
    """Return the placed frame p with the most support, and ``homography_p_frame``."""
    best, most = None, 0
    support = (pairs.estimate.inliers.sum(dim=1) * pairs.estimate.success).tolist()
    for (i, j), H_j_i, n in zip(
        pairs.frames.tolist(), pairs.estimate.homography, support, strict=True
    ):
        if n > most and i == frame and j in placed:
            best, most = (j, H_j_i), n
        elif n > most and j == frame and i in placed:
            best, most = (i, torch.linalg.inv(H_j_i)), n
    return best
