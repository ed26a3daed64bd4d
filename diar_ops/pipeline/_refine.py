"""Lay a frame over the reference to a fraction of a pixel, or refuse it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._types import FeatureMap, PairMatches
from diar_ops.geometry import ransac_homography, transform_points, warp_homography
from diar_ops.matching import match_local
from diar_ops.pipeline._frames import WorkingCopy, hide_invalid, image_size
from diar_ops.pipeline._graph import plausible
from diar_ops.pipeline._pairs import EVIDENCE_CELLS, Descriptor

__all__ = ["QUANTILES", "Refined", "Refiner", "refine_all"]

# Of the distances that Alignment.spread reports.
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
# Refined cells beyond this number add time, not accuracy.
_MAX_REFINED = 20_000


class _Round(NamedTuple):
    """One round of refinement; lengths in pixels of the working copies.

    A frame is verified by the share of its cells that agree on one homography. The cells of
    another picture agree by chance, as often as the threshold covers of the search window: 5 %
    and 9 % were measured here. Twice that is asked for.
    """

    stride: int
    radius: int  # cells
    step: int  # cells
    threshold: float
    min_agreement: float


# The wide window catches what the coarse matches leave over, the fine cells settle it: on a
# rendered sequence stride 4 alone stops at 0.3 px, stride 2 reaches 0.05 px.
_ROUNDS = (
    _Round(stride=4, radius=3, step=1, threshold=2.0, min_agreement=0.10),
    _Round(stride=2, radius=2, step=2, threshold=1.0, min_agreement=0.18),
    _Round(stride=2, radius=2, step=2, threshold=1.0, min_agreement=0.18),
)


class Refined(NamedTuple):
    """A frame laid over the reference.

    Attributes:
        homography_reference_frame: (3, 3) float64 in full-resolution pixels.
        agreed: Whether enough cells agree on it.
        spread: (5,) see :attr:`Alignment.spread`.
        anchor: Index of the frame that it was laid over.
    """

    homography_reference_frame: Tensor
    agreed: bool
    spread: Tensor
    anchor: int


class Refiner:
    """Refines frames against one reference, whose descriptors it computes once.

    Args:
        anchor: Index of the reference among the frames.
        reference: Its working copy.
        descriptor_of_stride: Maps a cell stride in pixels to a descriptor.
        generator: Source of randomness.
    """

    def __init__(
        self,
        anchor: int,
        reference: WorkingCopy,
        descriptor_of_stride: Callable[[int], Descriptor],
        generator: torch.Generator | None,
    ) -> None:
        self.anchor = anchor
        self.reference = reference
        self.descriptor_of_stride = descriptor_of_stride
        self.generator = generator
        self.maps = {
            r.stride: self._describe(r.stride, reference.image, reference.valid) for r in _ROUNDS
        }

    def __call__(self, copy: WorkingCopy, homography_reference_frame: Tensor) -> Refined:
        """Refine one frame from a homography that is right to a few pixels."""
        size = image_size(self.reference.image)
        working_reference = self.reference.working_full
        H = working_reference @ homography_reference_frame @ torch.linalg.inv(copy.working_full)
        for stride, radius, step, threshold, min_agreement in _ROUNDS:
            warped = warp_homography(copy.image, H[None].to(copy.image), copy.valid, size=size)
            found = match_local(
                self.maps[stride],
                self._describe(stride, warped.image, warped.valid),
                radius=radius,
                step=step,
            )
            keep = found.valid[0].nonzero().squeeze(1)
            keep = keep[:: max(1, len(keep) // _MAX_REFINED)]
            there, here = found.points1[:, keep], found.points0[:, keep]
            estimate = ransac_homography(
                there,
                here,
                threshold=threshold,
                independence=max(size) / EVIDENCE_CELLS,
                generator=self.generator,
            )
            share = float(estimate.inliers.sum()) / max(1, len(keep))
            H = estimate.homography[0].to("cpu", torch.float64) @ H
            agreed = bool(estimate.success[0]) and share >= min_agreement
            if not (agreed and plausible(H, image_size(copy.image))):
                unknown = torch.full((len(QUANTILES),), float("nan"))
                return Refined(homography_reference_frame, False, unknown, self.anchor)
        landed = transform_points(there, estimate.homography).points
        distance = (landed - here).norm(dim=-1)[estimate.inliers].cpu()
        spread = torch.quantile(distance, torch.tensor(QUANTILES)) / working_reference[0, 0]
        H = torch.linalg.inv(working_reference) @ H @ copy.working_full
        return Refined(H, True, spread, self.anchor)

    def _describe(self, stride: int, image: Tensor, valid: Tensor | None) -> FeatureMap:
        return self.descriptor_of_stride(stride)(hide_invalid(image, valid))


def refine_all(
    chained: dict[int, Tensor],
    pairs: PairMatches,
    reference: int,
    copy_of: Callable[[int], WorkingCopy],
    descriptor_of_stride: Callable[[int], Descriptor],
    generator: torch.Generator | None,
    progress: Callable[[str, int, int], None],
) -> dict[int, Refined]:
    """Refine every frame that a chain reaches, to the reference or to a neighbour in place.

    Args:
        chained: ``homography_reference_frame`` by frame, the reference among them.
        pairs: The matched pairs, in full-resolution pixels.
        reference: The reference frame.
        copy_of: Returns the working copy of a frame.
        descriptor_of_stride: See :class:`Refiner`.
        generator: Source of randomness.
        progress: Called with (name of the step, done, in all).

    Returns:
        What came of each frame but the reference.
    """
    others = sorted(set(chained) - {reference})
    if not others:
        return {}
    result = {}
    refine = Refiner(reference, copy_of(reference), descriptor_of_stride, generator)
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
            found = Refiner(p, copy_of(p), descriptor_of_stride, generator)(copy_of(t), H_p_t)
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
