"""From frames to homographies: match pairs, connect them, place frames, judge them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from diar_ops._checks import check_device, check_option, full_precision, is_integer
from diar_ops._pixels import image_size
from diar_ops._types import Alignment
from diar_ops.geometry.bundle import DISTORTIONS
from diar_ops.matching import DenseDescriptor, DenseSIFT
from diar_ops.pipeline._align.graph import chain_pairs, choose_reference
from diar_ops.pipeline._align.judge import judge_frames
from diar_ops.pipeline._align.pairs import Descriptor, match_frames
from diar_ops.pipeline._align.place import place_frames, place_large_frames
from diar_ops.pipeline._frames import Frame, Frames, Progress, check_frames, working_copy
from diar_ops.pipeline.options import AlignOptions


@full_precision
def align_sequence(
    frames: Frames,
    *,
    reference: str | int = "auto",
    descriptor: Descriptor | None = None,
    distortion: str = "none",
    options: AlignOptions | None = None,
    valid: Sequence[Tensor | None] | None = None,
    device: torch.device | str | None = None,
    generator: torch.Generator | None = None,
    progress: Progress | None = None,
) -> Alignment:
    """Align all frames of a sequence to one of them.

    1. Every pair of frames (for more than twelve frames: near neighbours and a few hubs) is
       matched by mutual nearest neighbours over all levels of a pyramid and verified by a robust
       homography, on copies of half the ``matching_size``. A frame that fits none of the largest
       connected component is tried again rotated, in steps of 30 degrees, and then on copies
       twice as large.
    2. The verified pairs form a graph. The reference is given, or it is the best-connected, most
       complete, most frontal and sharpest frame. Each frame reaches it along the most reliable
       path, directly or through other frames.
    3. The homography of each frame is refined on the pixels (:func:`refine_homography`), against
       the reference or, if it shares too little with it, against the frame that fits it best among
       those already placed. A frame of which too little agrees is left out.
    4. All frames are adjusted jointly (:func:`bundle_adjust_homographies`), to what agrees with
       the reference and with the frames that show most of the same: what hides a part of the
       reference leaves the others to tie each other there.
    5. Photos of more than 1.5 times ``refinement_size`` are compared again in tiles of their own
       pixels, some 25 a pair, and adjusted once more to what both found.

    With ``distortion="shared"`` the lens is estimated, too: before step 3 from all matches of the
    verified pairs, then with every joint adjustment. Steps 3 to 5 compare undistorted frames;
    where the pixels know the lens much better than the matches, steps 3 and 4 are repeated. The
    reference is undistorted like all others: with barrel distortion, its outermost corners lie
    outside of its frame; with pincushion distortion, other photos show a rim of its frame.

    A frame that cannot be aligned has ``success`` False and a reason; it never affects the others.

    Args:
        frames: (T, 3, H, W), or T tensors (3, H, W) of any sizes; floating point in [0, 1],
            uint8 or uint16. R, G, B.
        reference: Index of the reference frame, or ``"auto"``.
        descriptor: Maps images (1, 3, h, w) in [0, 1] to a :class:`FeatureMap`, such as a
            :class:`DenseDescriptor` or what :func:`load_descriptor` returns. ``None``: dense SIFT
            every 8 pixels.
        distortion: ``"none"``, or ``"shared"``: one radial coefficient for all frames, whole photos
            of one camera at one focal length, each distorted around its own centre. Where it
            cannot be told from none (by five standard deviations), there is none.
        options: Sizes and thresholds; ``None``: the defaults of :class:`AlignOptions`.
        valid: Optional T masks (1, H, W) bool of pixels that the photos really hold.
        device: Where to compute; ``None``: where the frames are.
        generator: Source of randomness; ``None``: a fixed seed.
        progress: Called with (name of the step, steps done, steps in all).

    Returns:
        :class:`Alignment`, on the CPU, homographies in float64.

    Raises:
        ShapeError, DtypeError: The frames are not pictures.
        OptionError: ``reference`` is not a frame, or ``distortion`` is unknown or asked for
            without ``AlignOptions.joint``.
        DeviceError: ``device`` does not compute.
    """
    op = "align_sequence"
    options = options or AlignOptions()
    images = check_frames(op, frames, valid)
    _check_options(op, reference, len(images), distortion, options)
    device = images[0].device if device is None else check_device(op, device)
    descriptor = descriptor or DenseDescriptor(DenseSIFT(stride=8))
    progress = progress or (lambda step, done, total: None)
    sequence = [Frame(*f) for f in zip(images, valid or [None] * len(images), strict=True)]
    with torch.no_grad():
        finite = [not f.is_floating_point() or bool(f.isfinite().all()) for f in images]
        copies = [
            working_copy(*frame, options.matching_size, device) if usable else None
            for frame, usable in zip(sequence, finite, strict=True)
        ]
        pairs = match_frames(copies, descriptor=descriptor, options=options, generator=generator, progress=progress)
        if reference == "auto":
            sharpness = [0.0 if c is None else _sharpness(c.image) for c in copies]
            sizes = torch.tensor([image_size(f) for f in images], dtype=torch.float64)
            reference = choose_reference(pairs, torch.tensor(sharpness, dtype=torch.float32), sizes)
        reference = int(reference)
        del copies
        placement = place_frames(
            chain_pairs(pairs, len(images), reference),
            pairs,
            sequence,
            reference,
            distortion=distortion,
            descriptor=descriptor,
            options=options,
            generator=generator,
            device=device,
            progress=progress,
        )
        placement = place_large_frames(
            placement, sequence, reference, distortion=distortion, options=options, device=device, progress=progress
        )
        return judge_frames(pairs, placement, finite, reference)


def _check_options(op: str, reference: str | int, count: int, distortion: str, options: AlignOptions) -> None:
    check_option(
        op,
        reference == "auto" or (is_integer(reference) and 0 <= reference < count),
        f'reference to be "auto" or a frame from 0 to {count - 1}',
        reference,
    )
    known = f"distortion to be one of {', '.join(DISTORTIONS)}"
    check_option(op, distortion in DISTORTIONS, known, distortion)
    needed = "joint=True to estimate a lens"
    check_option(op, options.joint or distortion == "none", needed, options.joint)


def _sharpness(image: Tensor) -> float:
    """Return the mean gradient per contrast: independent of exposure."""
    grey = image.mean(dim=1)
    dx = (grey[:, :, 1:] - grey[:, :, :-1]).abs().mean()
    dy = (grey[:, 1:] - grey[:, :-1]).abs().mean()
    return float((dx + dy) / (grey.std(correction=0) + 0.02))
