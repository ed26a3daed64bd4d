"""Refine the homography of a frame on the pixels, or refuse the frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._types import FeatureMap, Matches, Reason, RefinedHomography
from diar_ops.geometry import ransac_homography, refine_homography, transform_points, warp_homography
from diar_ops.geometry.refine import refine_pyramids
from diar_ops.matching import match_local
from diar_ops.pipeline._align.contest import contest
from diar_ops.pipeline._align.graph import is_plausible
from diar_ops.pipeline._align.match import Descriptor
from diar_ops.pipeline._align.oriented import differ_in_size, refine_on_smaller
from diar_ops.pipeline._align.rivals import Look, look_at
from diar_ops.pipeline._align.verify import INDEPENDENCE_CELLS
from diar_ops.pipeline._batches import map_batches
from diar_ops.pipeline._frames import WorkingCopies, WorkingCopy, hide_invalid, host_generator, smaller_copy

#: Of the distances that Alignment.spread reports.
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
#: (least agreement, largest corner_sigma as a share of the longer side): a refinement is reliable
#: if it keeps both bounds of one row. Much of a photo's texture may be noise or reflections, so
#: that little of it agrees; then the rest must fix the corners the better.
RELIABILITY_BOUNDS = ((0.2, 0.0015), (0.1, 0.0005))
#: Shorter side of the copies that are refined, in pixels, at least.
_LEAST_SIDE = 100
#: Radius of the search for matches around the initial homography, in cells of the descriptor.
_SEARCH_RADIUS = 3
#: Inlier threshold there, in cells.
_SEARCH_THRESHOLD = 0.5
#: Places of a frame that are asked, one after the other, at most.
_PLACES = 6
#: Numbers that the refinement of a pair has in memory for each pixel of its images, about.
ELEMENTS_PER_PIXEL = 24


class RefinedFrame(NamedTuple):
    """A frame whose homography was refined against another frame, its anchor.

    Attributes:
        homography_reference_frame: (3, 3) float64, through the anchor, in full-resolution pixels,
            undistorted ones where a lens is known.
        success: Whether the pixels agree on it.
        spread: (5,) see :attr:`Alignment.spread`.
        anchor: Index of the anchor.
        points_frame: (N, 2) positions in the frame that agree with ``points_anchor``, float64 in
            full-resolution pixels, undistorted ones where a lens is known.
        points_anchor: (N, 2) in the anchor.
        reason: Why there is no success, PIXELS_DISAGREE or AMBIGUOUS; of no meaning with it.
    """

    homography_reference_frame: Tensor
    success: bool
    spread: Tensor
    anchor: int
    points_frame: Tensor
    points_anchor: Tensor
    reason: Reason = Reason.PIXELS_DISAGREE


class Anchor:
    """A frame that others are refined against; what is derived from its copy is kept.

    Args:
        index: Of the frame.
        copy: Its working copy.
        homography_reference_anchor: (3, 3) float64 in full-resolution pixels.
        descriptor: Describes the cells by which frames far from their place are matched again.
    """

    def __init__(
        self, index: int, copy: WorkingCopy, homography_reference_anchor: Tensor, descriptor: Descriptor
    ) -> None:
        self.index = index
        self.copy = copy
        self.homography_reference_anchor = homography_reference_anchor
        self.descriptor = descriptor

    @cached_property
    def cells(self) -> FeatureMap:
        """Descriptors of the copy; few frames need them."""
        return self.descriptor(hide_invalid(self.copy.image, self.copy.valid))

    @cached_property
    def half(self) -> Anchor | None:
        """The anchor at half the size, if that is not too small: with a quarter of the noise."""
        if min(self.copy.size) < 2 * _LEAST_SIDE:
            return None
        small = smaller_copy(self.copy, self.longest // 2)
        return Anchor(self.index, small, self.homography_reference_anchor, self.descriptor)

    @cached_property
    def look(self) -> Look:
        """What photos that are laid over the copy are compared with."""
        return look_at(self.copy)

    @property
    def longest(self) -> int:
        """Longest side of the copy, in pixels."""
        return max(self.copy.size)


class PairOfFrames(NamedTuple):
    """Two frames and ``homography_1_0`` in full-resolution pixels, right to some of them."""

    frame0: int
    frame1: int
    homography_1_0: Tensor


def refine_pairs(
    pairs: Sequence[PairOfFrames], copies: WorkingCopies, *, levels: int | None = None, max_iterations: int = 20
) -> Iterator[tuple[int, RefinedHomography]]:
    """Refine the homographies between the copies of frames; those of equal size together.

    No pair has a say in the result of another. Each is compared on the grid of frame 1; if
    one has clearly fewer pixels of what both show, on the grid of that one.

    Args:
        pairs: Of frames.
        copies: The working copies of the frames.
        levels: See :func:`refine_homography`.
        max_iterations: See :func:`refine_homography`.

    Yields:
        Index of a pair, and its refinement in pixels of the copies, of B = 1, on the CPU.
    """
    keys = [(copies.kind(pair.frame0), copies.kind(pair.frame1)) for pair in pairs]
    elements = [ELEMENTS_PER_PIXEL * (copies.pixels(pair.frame0) + copies.pixels(pair.frame1)) for pair in pairs]

    def refine(group: list[int]) -> list[RefinedHomography]:
        copies0, copies1 = [copies[pairs[i].frame0] for i in group], [copies[pairs[i].frame1] for i in group]
        H = torch.stack(
            [
                copy1.homography_copy_frame @ pairs[i].homography_1_0 @ torch.linalg.inv(copy0.homography_copy_frame)
                for i, copy0, copy1 in zip(group, copies0, copies1, strict=True)
            ]
        )
        unequal = [differ_in_size(h, *sides) for h, *sides in zip(H, copies0, copies1, strict=True)]
        if any(unequal) or len(group) == 1:
            return [
                (refine_on_smaller if differ else _refine_pixels)(*pair, levels=levels, max_iterations=max_iterations)
                for differ, *pair in zip(unequal, copies0, copies1, H, strict=True)
            ]
        (image0, valid0), (image1, valid1) = _stack(copies0), _stack(copies1)
        refined = refine_homography(
            image0, image1, H.to(copies.device), valid0, valid1, levels=levels, max_iterations=max_iterations
        )
        return _split(refined)

    for group, refined in map_batches(refine, keys, elements, copies.device):
        yield from zip(group, refined, strict=True)


def _stack(copies: Sequence[WorkingCopy]) -> tuple[Tensor, Tensor | None]:
    """Return the images and masks of copies of one kind; of one copy all over, it alone."""
    if all(copy is copies[0] for copy in copies):
        return copies[0].image, copies[0].valid
    valid = [copy.valid for copy in copies if copy.valid is not None]
    return torch.cat([copy.image for copy in copies]), torch.cat(valid) if valid else None


def _split(refined: RefinedHomography) -> list[RefinedHomography]:
    """Return the items of a refinement, on the CPU."""
    matches = Matches(*(field.cpu() for field in refined.matches))
    fields = {name: field.cpu() for name, field in refined._asdict().items() if name != "matches"}
    return [
        RefinedHomography(
            matches=Matches(*(field[i : i + 1] for field in matches)),
            **{name: field[i : i + 1] for name, field in fields.items()},
        )
        for i in range(len(refined.success))
    ]


def refine_frame(
    copy: WorkingCopy,
    anchor: Anchor,
    homography_anchor_frame: Tensor,
    generator: torch.Generator | None,
    straight: RefinedHomography | None = None,
) -> RefinedFrame:
    """Refine the homography of one frame to its anchor from one that is right to some pixels.

    Whatever it was found on, the place must then win against the second best on these copies
    (:func:`contest`). Where the other one wins, that is the next to be asked.

    Args:
        copy: Of the frame.
        anchor: What it is laid over.
        homography_anchor_frame: In full-resolution pixels.
        generator: Source of randomness.
        straight: The refinement on copies of this size, where it is known.
    """
    result = _refine_by_size(copy, anchor, homography_anchor_frame, generator, straight)
    anchor_copy, copy_frame = anchor.copy.homography_copy_frame, torch.linalg.inv(copy.homography_copy_frame)
    anchor_reference = torch.linalg.inv(anchor.homography_reference_anchor)

    def refine(homography: Tensor) -> Tensor | None:
        other = _refine_pixels(copy, anchor.copy, homography)
        usable = is_reliable(other, anchor.longest) and is_plausible(other.homography[0], copy.size)
        return other.homography[0].double() if usable else None

    for _ in range(_PLACES):
        if not result.success:
            return result
        homography = anchor_copy @ anchor_reference @ result.homography_reference_frame @ copy_frame
        outcome = contest(copy, anchor.look, homography, refine)
        if outcome.reason == Reason.OK:
            return result
        if outcome.better is None:
            break
        better = torch.linalg.inv(anchor_copy) @ outcome.better @ copy.homography_copy_frame
        result = _refine_by_size(copy, anchor, better, generator)
    return _refused(anchor, homography_anchor_frame, outcome.reason)


def _refine_by_size(
    copy: WorkingCopy,
    anchor: Anchor,
    homography_anchor_frame: Tensor,
    generator: torch.Generator | None,
    straight: RefinedHomography | None = None,
) -> RefinedFrame:
    """Refine on copies of this size, then of half, and so on, where pixels of the larger ones do not agree.

    Noise and blur hide small detail first.
    """
    result = _refine_on_copy(copy, anchor, homography_anchor_frame, generator, straight)
    if result.success or anchor.half is None or min(copy.size) < 2 * _LEAST_SIDE:
        return result
    half = smaller_copy(copy, max(copy.size) // 2)
    return _refine_by_size(half, anchor.half, homography_anchor_frame, generator)


def _refused(anchor: Anchor, homography_anchor_frame: Tensor, reason: Reason) -> RefinedFrame:
    empty = torch.zeros(0, 2, dtype=torch.float64)
    unknown = torch.full((len(QUANTILES),), float("nan"), dtype=torch.float32)
    start = anchor.homography_reference_anchor @ homography_anchor_frame
    return RefinedFrame(start, False, unknown, anchor.index, empty, empty, reason)


def _refine_on_copy(
    copy: WorkingCopy,
    anchor: Anchor,
    homography_anchor_frame: Tensor,
    generator: torch.Generator | None,
    straight: RefinedHomography | None,
) -> RefinedFrame:
    """Refine on copies of this size only."""
    anchor_copy, frame_copy = anchor.copy.homography_copy_frame, copy.homography_copy_frame
    H = anchor_copy @ homography_anchor_frame @ torch.linalg.inv(frame_copy)
    refined = straight or refine_copies(copy, anchor.copy, H)
    if not is_reliable(refined, anchor.longest, RELIABILITY_BOUNDS[:1]):
        # What agrees may be the noise of one camera: prefer a place where more does.
        start = _match_again(copy, anchor, H, generator)
        again = None if start is None else refine_copies(copy, anchor.copy, start)
        if again is not None and float(again.agreement) > float(refined.agreement):
            refined = again
    H = refined.homography[0]
    if not (is_reliable(refined, anchor.longest) and is_plausible(H, copy.size)):
        return _refused(anchor, homography_anchor_frame, Reason.PIXELS_DISAGREE)
    H = torch.linalg.inv(anchor_copy) @ H @ frame_copy
    points_frame, points_anchor = to_full_resolution(refined.matches, copy, anchor.copy)
    distance = (transform_points(points_frame, H).points - points_anchor).norm(dim=-1)
    spread = torch.quantile(distance, distance.new_tensor(QUANTILES)).float()
    H = anchor.homography_reference_anchor @ H
    return RefinedFrame(H, True, spread, anchor.index, points_frame, points_anchor)


def refine_copies(copy: WorkingCopy, anchor: WorkingCopy, H: Tensor) -> RefinedHomography:
    """Refine ``homography_anchor_copy`` between two copies on their pixels; see :func:`refine_pairs`."""
    return (refine_on_smaller if differ_in_size(H, copy, anchor) else _refine_pixels)(copy, anchor, H)


def _refine_pixels(
    copy: WorkingCopy, anchor: WorkingCopy, H: Tensor, *, levels: int | None = None, max_iterations: int = 20
) -> RefinedHomography:
    """Refine the homography between two copies on the grid of the second."""
    H = H[None].to(copy.image.device)
    return _split(refine_pyramids(copy.pyramid, anchor.pyramid, H, levels, max_iterations))[0]


def _match_again(copy: WorkingCopy, anchor: Anchor, H: Tensor, generator: torch.Generator | None) -> Tensor | None:
    """Match cells near their place under ``H``; return the homography that they agree on."""
    size = anchor.copy.size
    warped = warp_homography(copy.image, H[None].to(copy.image), copy.valid, size=size)
    cells = anchor.descriptor(hide_invalid(warped.image, warped.valid))
    matches = match_local(anchor.cells, cells, radius=_SEARCH_RADIUS)
    estimate = ransac_homography(
        matches.points1,
        matches.points0,
        matches.valid,
        threshold=_SEARCH_THRESHOLD * anchor.cells.stride[0],
        independence=max(size) / INDEPENDENCE_CELLS,
        generator=host_generator(generator),
    )
    H = estimate.homography[0].to("cpu", torch.float64) @ H
    return H if bool(estimate.success[0]) and is_plausible(H, copy.size) else None


def is_reliable(
    refined: RefinedHomography, longest: int, evidence: Sequence[tuple[float, float]] | None = None
) -> bool:
    """Return whether the refinement of one pair meets one row of :data:`RELIABILITY_BOUNDS`.

    Args:
        refined: Of one pair.
        longest: Longest side of the image that it was refined against, in pixels.
        evidence: Other rows of bounds.
    """
    agreement, sigma = float(refined.agreement), float(refined.corner_sigma.max())
    return bool(refined.success) and any(
        agreement >= least and sigma <= most * longest for least, most in evidence or RELIABILITY_BOUNDS
    )


def to_full_resolution(matches: Matches, copy0: WorkingCopy, copy1: WorkingCopy) -> tuple[Tensor, Tensor]:
    """Return the valid matches of one pair of copies as points (N, 2) of the frames, on the CPU."""
    keep = matches.valid[0]
    points0, points1 = (
        transform_points(points[0, keep].to("cpu", torch.float64), torch.linalg.inv(copy.homography_copy_frame)).points
        for points, copy in ((matches.points0, copy0), (matches.points1, copy1))
    )
    return points0, points1
