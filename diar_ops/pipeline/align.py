"""From frames to homographies: match the pairs, choose a reference, chain, refine."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from diar_ops._checks import check_device, check_option
from diar_ops._pixels import image_size
from diar_ops._types import Alignment, PairMatches, Reason
from diar_ops.geometry.bundle import DISTORTIONS
from diar_ops.matching import DenseDescriptor, DenseSIFT
from diar_ops.pipeline._frames import Frames, Photo, check_frames, working_copy
from diar_ops.pipeline._graph import chain_to_reference, choose_reference
from diar_ops.pipeline._joint import adjust, look_closer
from diar_ops.pipeline._pairs import Descriptor, PairMatcher
from diar_ops.pipeline._place import Placer, shown_points
from diar_ops.pipeline._refine import QUANTILES

__all__ = ["align_sequence"]

#: Photos so many times as large as the copies that are refined are looked at more closely.
LARGE = 1.5


def align_sequence(
    frames: Frames,
    *,
    reference: str | int = "auto",
    descriptor: Descriptor | None = None,
    scales: Sequence[float] = (1.0, 0.7071, 0.5),
    matching_size: int = 512,
    refinement_size: int = 1024,
    joint: bool = True,
    distortion: str = "none",
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
       pixels, some 25 a pair, and adjusted once more to what both found.

    With ``distortion="shared"`` the lens is estimated, too: before step 3 from all matches of the
    verified pairs, then with every joint adjustment. Steps 3 to 5 compare what it makes straight;
    where the pixels know it much better than the matches, steps 3 and 4 are repeated. The reference
    is made straight like all others: of a barrel, the outermost corners lie outside of its frame;
    of a pincushion, a rim of its frame is left for other photos to show.

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
        joint: Whether to do step 4. Without it, step 5 compares each frame with the one alone that
            step 3 laid it over.
        distortion: ``"none"``, or ``"shared"``: one radial coefficient for all frames, whole photos
            of one camera at one focal length, each of which is bent around its own centre. Where
            it cannot be told from none (by five standard deviations), there is none.
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
        OptionError: ``reference`` is not a frame, a size is too small, or ``distortion`` is unknown
            or asked for without ``joint``.
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
    words = f"distortion to be one of {', '.join(DISTORTIONS)}"
    check_option(op, distortion in DISTORTIONS, words, distortion)
    check_option(op, joint or distortion == "none", "joint=True to estimate a lens", joint)
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

        photos = [Photo(f, m) for f, m in zip(frames, masks, strict=True)]
        sizes = [image_size(f) for f in frames]
        place = Placer(
            photos,
            sizes,
            pairs,
            reference,
            refinement_size,
            joint,
            distortion,
            descriptor,
            generator,
            device,
            progress,
        )
        refined, ties, adjusted = place(chained)
        placed = [t for t, found in refined.items() if found.agreed]
        if placed and max(max(sizes[t]) for t in placed) > LARGE * refinement_size:
            ties = [*ties, *look_closer(ties, adjusted, photos, device, progress)]
            adjusted = adjust(ties, adjusted.homography, sizes, reference, distortion)
        homography, lens, sigma = adjusted

        success = torch.zeros(count, dtype=torch.bool)
        reason = _pair_reasons(pairs, count)
        overlap, spread = torch.zeros(count), torch.full((count, len(QUANTILES)), float("nan"))
        success[reference], reason[reference] = True, int(Reason.OK)
        for t, found in refined.items():
            success[t], spread[t] = found.agreed, found.spread
            reason[t] = int(Reason.OK if found.agreed else Reason.CHANCE_LEVEL)
        for t in (*placed, reference):
            overlap[t] = shown_points(homography[t], t, sizes[reference], lens).double().mean()
        broken = ~torch.tensor(finite)
        success[broken], reason[broken] = False, int(Reason.NOT_FINITE)
    inliers = torch.zeros(count, dtype=torch.int64)
    for (i, j), n in zip(pairs.frames[verified].tolist(), support.tolist(), strict=True):
        inliers[i], inliers[j] = max(int(inliers[i]), n), max(int(inliers[j]), n)
    return Alignment(
        homography,
        success,
        reason,
        inliers,
        overlap,
        reference,
        sizes[reference],
        spread,
        pairs,
        lens.distortion,
        sigma,
    )


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
