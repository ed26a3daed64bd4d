"""From frames to homographies: match the pairs, choose a reference, chain, refine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from diar_ops._checks import check_option
from diar_ops._types import Alignment, PairMatches, Reason
from diar_ops.geometry import transform_points
from diar_ops.matching import DenseDescriptor, DenseSIFT
from diar_ops.pipeline._frames import (
    Frames,
    Photo,
    WorkingCopy,
    check_device,
    check_frames,
    image_size,
    working_copy,
)
from diar_ops.pipeline._graph import chain_to_reference, choose_reference
from diar_ops.pipeline._joint import adjust, look_closer, tie_neighbours, ties_of
from diar_ops.pipeline._pairs import Descriptor, PairMatcher
from diar_ops.pipeline._refine import QUANTILES, refine_all

__all__ = ["align_sequence"]

#: Photos so many times as large as the copies that are refined are looked at more closely.
LARGE = 1.5
#: Copies that are kept at a time, each of up to 12 MB: every pair needs two, and shrinking a large
#: photo anew for each is slow.
COPIES = 12


def align_sequence(
    frames: Frames,
    *,
    reference: str | int = "auto",
    descriptor: Descriptor | None = None,
    scales: Sequence[float] = (1.0, 0.7071, 0.5),
    matching_size: int = 512,
    refinement_size: int = 1024,
    joint: bool = True,
    max_matches: int = 3000,
    threshold: float = 4.0,
    valid: Sequence[Tensor | None] | None = None,
    device: torch.device | str | None = None,
    generator: torch.Generator | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Alignment:
    """Align all frames of a sequence to one of them.

    1. Every pair of frames (for more than twelve frames: near neighbours and a few hubs) is
       matched by mutual nearest neighbours over all levels of a pyramid and verified by a robust
       homography, on copies of half the ``matching_size``. A frame that fits none of the largest
       group is tried again turned, in steps of 30 degrees, and then on copies twice as large.
    2. The verified pairs form a graph. The reference is given, or it is the best-connected, most
       complete, most frontal and sharpest frame. Each frame reaches it along the most reliable
       path, directly or through other frames.
    3. Each frame is laid over the reference pixel by pixel (:func:`refine_homography`); or, if it
       shares too little with the reference itself, over the frame that fits it best among those
       already in place. A frame of which too little agrees is left out.
    4. All frames are adjusted jointly (:func:`bundle_adjust_homographies`), to what agrees with
       the reference and with the frames that show most of the same: what hides a part of the
       reference leaves the others to tie each other there.
    5. Photos of more than 1.5 times ``refinement_size`` are compared again in tiles of their own
       pixels, some 25 a pair, and adjusted once more.

    A frame that cannot be aligned has ``success`` False and a reason; it never affects the others.

    Args:
        frames: (T, 3, H, W), or T tensors (3, H, W) of any sizes; floating point in [0, 1],
            uint8 or uint16. R, G, B.
        reference: Index of the reference frame, or ``"auto"``.
        descriptor: Maps images (1, 3, h, w) in [0, 1] to a :class:`FeatureMap`, such as a
            :class:`DenseDescriptor` or what :func:`load_descriptor` returns. ``None``: dense SIFT
            every 8 pixels.
        scales: Pyramid scales of step 1.
        matching_size: Longest side of the larger copies that step 1 works on, in pixels.
        refinement_size: The same for steps 3 and 4. Larger is more exact and slower.
        joint: Whether to do step 4.
        max_matches: Matches kept per pair, the best ones.
        threshold: Inlier threshold of step 1, in pixels of the copies.
        valid: Optional T masks (1, H, W) bool of pixels that the photos really hold.
        device: Where to compute; ``None``: where the frames are.
        generator: Source of randomness; ``None``: a fixed seed.
        progress: Called with (name of the step, done, in all).

    Returns:
        :class:`Alignment`, on the CPU, homographies in float64.

    Raises:
        ShapeError, DtypeError: The frames are not pictures.
        OptionError: ``reference`` is not a frame, or a size is too small.
        DeviceError: ``device`` does not compute.
    """
    op = "align_sequence"
    frames = check_frames(op, frames, valid)
    count = len(frames)
    if reference != "auto":
        check_option(
            op,
            isinstance(reference, int) and 0 <= reference < count,
            f'reference to be "auto" or a frame from 0 to {count - 1}',
            reference,
        )
    check_option(op, matching_size >= 32, "matching_size >= 32", matching_size)
    check_option(op, refinement_size >= 32, "refinement_size >= 32", refinement_size)
    device = frames[0].device if device is None else check_device(op, device)
    masks = [None] * count if valid is None else list(valid)
    progress = progress or (lambda step, done, total: None)
    descriptor = descriptor or DenseDescriptor(DenseSIFT(stride=8))
    matcher = PairMatcher(descriptor, scales, max_matches, threshold, generator, progress)
    with torch.no_grad():
        finite = [not f.is_floating_point() or bool(f.isfinite().all()) for f in frames]
        copies = [
            working_copy(f, m, matching_size, device) if usable else None
            for f, m, usable in zip(frames, masks, finite, strict=True)
        ]
        pairs = matcher(copies, matching_size // 2)
        verified = pairs.estimate.success
        support = pairs.estimate.inliers.sum(dim=1)[verified]
        if reference == "auto":
            areas = torch.tensor([f.shape[-2:] for f in frames], dtype=torch.float64)
            sharpness = [0.0 if c is None else _sharpness(c.image) for c in copies]
            reference = choose_reference(pairs, torch.tensor(sharpness), areas)
        assert isinstance(reference, int)
        del copies
        chained = chain_to_reference(
            pairs.frames[verified], pairs.estimate.homography[verified], support, count, reference
        )

        size = image_size(frames[reference])
        homography = torch.eye(3, dtype=torch.float64).repeat(count, 1, 1)
        success = torch.zeros(count, dtype=torch.bool)
        reason = _pair_reasons(pairs, count)
        overlap, spread = torch.zeros(count), torch.full((count, len(QUANTILES)), float("nan"))
        success[reference], reason[reference], overlap[reference] = True, int(Reason.OK), 1.0

        @lru_cache(COPIES)
        def copy_of(t: int) -> WorkingCopy:
            return working_copy(frames[t], masks[t], refinement_size, device)

        refined = refine_all(
            chained,
            pairs,
            reference,
            copy_of,
            descriptor,
            generator,
            progress,
        )
        placed = {t: found for t, found in refined.items() if found.agreed}
        sizes = [image_size(f) for f in frames]
        for t, found in refined.items():
            success[t], spread[t] = found.agreed, found.spread
            reason[t] = int(Reason.OK if found.agreed else Reason.CHANCE_LEVEL)
            if found.agreed:
                homography[t] = found.homography_reference_frame
        shown = {t: _shown(homography[t], sizes[t], size) for t in placed}
        ties = ties_of(placed)
        if joint:
            beside = tie_neighbours(placed, shown, copy_of, progress)
            ties += beside
            if beside:
                homography = adjust(ties, homography, sizes, reference)
        if placed and max(max(sizes[t]) for t in placed) > LARGE * refinement_size:
            ties = look_closer(
                ties, homography, lambda t: Photo(frames[t], masks[t]), device, progress
            )
            homography = adjust(ties, homography, sizes, reference)
        for t in placed:
            overlap[t] = _shown(homography[t], sizes[t], size).double().mean()
        broken = ~torch.tensor(finite)
        success[broken], reason[broken] = False, int(Reason.NOT_FINITE)
    inliers = torch.zeros(count, dtype=torch.int64)
    for (i, j), n in zip(pairs.frames[verified].tolist(), support.tolist(), strict=True):
        inliers[i], inliers[j] = max(int(inliers[i]), n), max(int(inliers[j]), n)
    return Alignment(homography, success, reason, inliers, overlap, reference, size, spread, pairs)


def _pair_reasons(pairs: PairMatches, count: int) -> Tensor:
    """Return, for each frame, why its most promising pair failed; UNCONNECTED if one did not."""
    reason = torch.full((count,), int(Reason.TOO_FEW))
    most = torch.full((count,), -1)
    usable = pairs.matches.valid.sum(dim=1)
    for (i, j), n, why in zip(
        pairs.frames.tolist(), usable.tolist(), pairs.estimate.reason.tolist(), strict=True
    ):
        if why == Reason.OK:
            n, why = 1 << 40, int(Reason.UNCONNECTED)
        for t in (i, j):
            if n > most[t]:
                most[t], reason[t] = n, why
    return reason


def _sharpness(image: Tensor) -> float:
    """Return the mean gradient per contrast: independent of exposure."""
    grey = image.mean(dim=1)
    dx = (grey[:, :, 1:] - grey[:, :, :-1]).abs().mean()
    dy = (grey[:, 1:] - grey[:, :-1]).abs().mean()
    return float((dx + dy) / (grey.std(correction=0) + 0.02))


def _shown(
    homography_reference_frame: Tensor, frame: tuple[int, int], reference: tuple[int, int]
) -> Tensor:
    """Return (4096,) bool, which points of a grid on the reference the frame shows."""
    y, x = torch.meshgrid(
        (torch.arange(64, dtype=torch.float64) + 0.5) * reference[0] / 64 - 0.5,
        (torch.arange(64, dtype=torch.float64) + 0.5) * reference[1] / 64 - 0.5,
        indexing="ij",
    )
    grid = torch.stack([x, y], dim=-1).reshape(-1, 2)
    points, in_front = transform_points(grid, torch.linalg.inv(homography_reference_frame))
    limit = torch.tensor([frame[1] - 0.5, frame[0] - 0.5], dtype=torch.float64)
    return ((points >= -0.5) & (points <= limit)).all(dim=-1) & in_front
