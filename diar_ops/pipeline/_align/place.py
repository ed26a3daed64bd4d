"""Place all frames over the reference: refine each, then adjust all jointly, lens included."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._checks import check_floating, check_option, check_shapes
from diar_ops._pixels import image_size
from diar_ops._types import PairMatches
from diar_ops.geometry import transform_points
from diar_ops.pipeline._align.adjust import AdjustedFrames, adjust_frames
from diar_ops.pipeline._align.match import Descriptor
from diar_ops.pipeline._align.refine import RefinedFrame
from diar_ops.pipeline._align.refine_frames import refine_frames
from diar_ops.pipeline._align.tie_points import TiePoints, tie_anchors, tie_neighbours
from diar_ops.pipeline._align.tiles import refine_in_tiles
from diar_ops.pipeline._frames import Frame, Progress, WorkingCopies
from diar_ops.pipeline._lens import Lens, estimate_lens
from diar_ops.pipeline.options import AlignOptions

#: Frames are placed once more where the joint adjustment changes the lens so much that corners of
#: the copies move by more pixels than this.
LENS_CHANGE = 2.0
#: Photos so many times as large as the copies that are refined are compared again in tiles.
LARGE = 1.5


class Placement(NamedTuple):
    """Frames placed over the reference.

    Attributes:
        refined: The result of each frame but the reference.
        ties: The tie points of all pairs.
        adjusted: Homographies of all frames, the identity where there is none, and the lens.
    """

    refined: dict[int, RefinedFrame]
    ties: list[TiePoints]
    adjusted: AdjustedFrames

    @property
    def placed(self) -> dict[int, RefinedFrame]:
        """The frames whose refinement succeeded."""
        return {t: frame for t, frame in self.refined.items() if frame.success}


def start_from(op: str, initial: Tensor, finite: Sequence[bool], reference: int) -> dict[int, Tensor]:
    """Return ``homography_reference_frame`` by frame from homographies into a plane that all share.

    Raises:
        ShapeError, DtypeError, OptionError: They are no homographies of the frames.
    """
    check_shapes(op, initial=(initial, f"{len(finite)} 3 3"))
    check_floating(op, initial=initial)
    H = initial.detach().to("cpu", torch.float64)
    known = H.isfinite().all(-1).all(-1)
    check_option(
        op, bool(known[reference]), f"initial[{reference}], of the reference, to be finite", H[reference].tolist()
    )
    regular = torch.linalg.matrix_rank(torch.where(known[:, None, None], H, 0)) == 3
    check_option(op, bool((regular | ~known).all()), "initial homographies that can be inverted", initial.tolist())
    homography_reference_plane = torch.linalg.inv(H[reference])
    start = {t: homography_reference_plane @ H[t] for t in range(len(H)) if known[t] and finite[t]}
    return {**start, reference: torch.eye(3, dtype=torch.float64)}


def place_sequence(
    initial: Mapping[int, Tensor],
    pairs: PairMatches,
    frames: Sequence[Frame],
    reference: int,
    *,
    distortion: str,
    descriptor: Descriptor,
    options: AlignOptions,
    generator: torch.Generator | None,
    device: torch.device,
    progress: Progress,
) -> Placement:
    """Place frames from homographies that are right to some pixels; large ones in tiles, too.

    With ``distortion="shared"``, the lens is estimated roughly from the matched cells first. Where
    the pixels then tell of a clearly different one, frames are placed once more through that.

    Args:
        initial: ``homography_reference_frame`` by frame, the reference among them.
        pairs: The verified pairs, in full-resolution pixels.
        frames: All frames.
        reference: The reference frame.
        distortion: See :func:`bundle_adjust_homographies`.
        descriptor: Of cells by which frames are matched again that lie too far off.
        options: Sizes, and whether frames are adjusted jointly.
        generator: Source of randomness.
        device: Where to compute.
        progress: Called with the progress of each step.
    """
    placement = _place_copies(
        initial,
        pairs,
        frames,
        reference,
        distortion=distortion,
        descriptor=descriptor,
        options=options,
        generator=generator,
        device=device,
        progress=progress,
    )
    return place_large_frames(
        placement, frames, reference, distortion=distortion, options=options, device=device, progress=progress
    )


def _place_copies(
    initial: Mapping[int, Tensor],
    pairs: PairMatches,
    frames: Sequence[Frame],
    reference: int,
    *,
    distortion: str,
    descriptor: Descriptor,
    options: AlignOptions,
    generator: torch.Generator | None,
    device: torch.device,
    progress: Progress,
) -> Placement:
    """Place frames by copies of ``options.refinement_size``; see :func:`place_sequence`."""
    sizes = [image_size(frame.image) for frame in frames]

    def place_through(lens: Lens, initial: Mapping[int, Tensor]) -> Placement:
        copies = WorkingCopies(frames, options.refinement_size, device, lens.distortion)
        refined = refine_frames(
            initial, pairs, reference, copies, descriptor=descriptor, generator=generator, progress=progress
        )
        placed = {t: frame for t, frame in refined.items() if frame.success}
        homography = torch.eye(3, dtype=torch.float64).repeat(len(frames), 1, 1)
        for t, frame in placed.items():
            homography[t] = frame.homography_reference_frame
        ties = tie_anchors(placed, lens)
        # The lens of the cells alone is a start for the pixels, not a result.
        unknown = 0.0 if distortion == "none" else math.inf
        adjusted = AdjustedFrames(homography, lens if ties else Lens(0.0, sizes), unknown)
        if options.joint:
            coverage = {t: covered_grid(homography[t], t, sizes[reference], lens) for t in placed}
            neighbours = tie_neighbours(placed, reference, coverage, copies, lens, progress)
            ties += neighbours
            if neighbours or (ties and distortion != "none"):
                adjusted = adjust_frames(ties, homography, sizes, reference, distortion)
        return Placement(refined, ties, adjusted)

    if distortion == "none":
        return place_through(Lens(0.0, sizes), initial)
    lens, initial = estimate_lens(pairs, initial, sizes, reference)
    placement = place_through(lens, initial)
    change = abs(placement.adjusted.lens.distortion - lens.distortion)
    if change * options.refinement_size / math.sqrt(2) > LENS_CHANGE:
        better = {t: placement.adjusted.homography[t] for t in placement.placed}
        placement = place_through(placement.adjusted.lens, {**initial, **better})
    return placement


def place_large_frames(
    placement: Placement,
    frames: Sequence[Frame],
    reference: int,
    *,
    distortion: str,
    options: AlignOptions,
    device: torch.device,
    progress: Progress,
) -> Placement:
    """Adjust once more to tie points in tiles of full resolution, if a placed frame is large.

    Args:
        placement: Right to a pixel or two.
        frames: All frames.
        reference: The reference frame.
        distortion: See :func:`bundle_adjust_homographies`.
        options: ``refinement_size`` says what is large.
        device: Where to compute.
        progress: Called with the progress of the step.
    """
    sizes = [image_size(frame.image) for frame in frames]
    longest = max((max(sizes[t]) for t in placement.placed), default=0)
    if longest <= LARGE * options.refinement_size:
        return placement
    adjusted = placement.adjusted
    ties = [*placement.ties, *refine_in_tiles(placement.ties, adjusted, frames, device, progress)]
    adjusted = adjust_frames(ties, adjusted.homography, sizes, reference, distortion)
    return placement._replace(ties=ties, adjusted=adjusted)


def covered_grid(homography_reference_frame: Tensor, frame: int, reference_size: tuple[int, int], lens: Lens) -> Tensor:
    """Return (4096,) bool, which points of a grid on the reference the frame shows."""
    y, x = torch.meshgrid(
        (torch.arange(64, dtype=torch.float64) + 0.5) * reference_size[0] / 64 - 0.5,
        (torch.arange(64, dtype=torch.float64) + 0.5) * reference_size[1] / 64 - 0.5,
        indexing="ij",
    )
    grid = torch.stack([x, y], dim=-1).reshape(-1, 2)
    points, in_front = transform_points(grid, torch.linalg.inv(homography_reference_frame))
    points, exist = lens.distort(points, frame)
    height, width = lens.sizes[frame]
    limit = torch.tensor([width - 0.5, height - 0.5], dtype=torch.float64)
    return ((points >= -0.5) & (points <= limit)).all(dim=-1) & in_front & exist
