"""From frames to homographies: match pairs, connect them, place frames, judge them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from diar_ops._checks import check_generator, check_option, eager, full_precision, is_integer
from diar_ops._types import Alignment, PairMatches, Reason
from diar_ops.geometry.bundle import DISTORTIONS
from diar_ops.pipeline._align.bends import BENDS, bend_frames
from diar_ops.pipeline._align.cycles import refuse_contradicted
from diar_ops.pipeline._align.graph import chain_pairs
from diar_ops.pipeline._align.judge import judge_frames
from diar_ops.pipeline._align.match import Descriptor, PairMatcher, as_descriptor, choose_matcher, choose_view_matcher
from diar_ops.pipeline._align.overlay import COPY_SIZE, hide_overlay
from diar_ops.pipeline._align.pairs import check_pairs, find_reference, match_frames, match_refused, no_pairs
from diar_ops.pipeline._align.place import place_sequence, start_from
from diar_ops.pipeline._frames import Frames, Progress, prepare_frames, silent, smaller_copy
from diar_ops.pipeline.options import AlignOptions


@eager
@full_precision
def align_sequence(
    frames: Frames,
    *,
    reference: str | int = "auto",
    descriptor: Descriptor | None = None,
    matcher: PairMatcher | None = None,
    pairs: PairMatches | None = None,
    initial: Tensor | None = None,
    distortion: str = "none",
    bends: str = "none",
    options: AlignOptions | None = None,
    valid: Sequence[Tensor | None] | None = None,
    device: torch.device | str | None = None,
    generator: torch.Generator | None = None,
    progress: Progress | None = None,
) -> Alignment:
    """Align all frames of a sequence to one of them.

    1. Each frame and the next two, and each and the reference, are matched by mutual nearest
       neighbours over all levels of a pyramid and verified by a robust homography, on copies of
       half the ``matching_size``. A frame of which fewer than three pairs hold is matched with all
       others (of more than twelve: with near neighbours and a few hubs); so are all frames where
       pairs contradict each other. A frame that fits none of the largest
       connected component is tried again rotated, in steps of 30 degrees, then by simulated views
       (foreshortened, turned, enlarged: by the trained descriptor unless one is given), and then
       on copies twice as large. What stands still in most photos while the rest moves (captions,
       dirt) is hidden from all steps; pairs that contradict where the others have their frames are
       refused.
    2. The verified pairs form a graph. The reference is given, or it is the best-connected, most
       complete, most frontal and sharpest frame. Each frame reaches it along the most reliable
       path, directly or through other frames.
    3. The homography of each frame is refined on the pixels (:func:`refine_homography`), against
       the reference or, if it shares little with it, against the frame that fits it best among
       those already placed: photos of parts of a picture need not show what the reference does.
       A frame of which too little agrees is left out, and one that would fit another place as
       well. Those are matched once more, turned, with frames that are placed.
    4. All frames are adjusted jointly (:func:`bundle_adjust_homographies`), to what agrees with
       the reference and with the frames that show most of the same: what hides a part of the
       reference leaves the others to tie each other there. So do frames that show little of it.
    5. Photos of more than 1.5 times ``refinement_size`` are compared again in tiles of their own
       pixels, some 25 a pair, and adjusted once more to what both found.

    6. What is not quite flat (a page that curls, a cover that bulges) moves against its homography
       by some pixels. A smooth grid of displacements takes that up, for each frame against the
       reference; a frame that was left out in step 3 is judged again by what is left under it.

    With ``distortion="shared"`` the lens is estimated, too: before step 3 from all matches of the
    verified pairs, then with every joint adjustment. Steps 3 to 5 compare undistorted frames;
    where the pixels know the lens much better than the matches, steps 3 and 4 are repeated. The
    reference is undistorted like all others: with barrel distortion, its outermost corners lie
    outside of its frame; with pincushion distortion, other photos show a rim of its frame.

    A frame that cannot be aligned has ``success`` False and a reason; it never affects the others.

    Each step is a function of its own in :mod:`diar_ops.pipeline`: :func:`match_pairs` (with
    :func:`describe_images` and :func:`verify_pairs`), :func:`choose_reference`,
    :func:`chain_pairs`, :func:`place_frames` (with :func:`adjust_frames`) and
    :func:`judge_frames`. What comes from elsewhere takes the place of step 1 as ``matcher`` or
    ``pairs``, of steps 1 and 2 as ``initial``.

    Args:
        frames: (T, 3, H, W), or T tensors (3, H, W) of any sizes; floating point in [0, 1],
            uint8 or uint16. R, G, B.
        reference: Index of the reference frame, or ``"auto"``.
        descriptor: Maps images (B, 3, h, w) in [0, 1] to a :class:`FeatureMap`, such as a
            :class:`DenseDescriptor` or what :func:`load_descriptor` returns; or a trunk that states
            its ``stride`` and ``offset``, of several stages of which that serves whose cells are
            about 8 pixels apart. ``None``: dense SIFT every 8 pixels.
        matcher: Matches two images, instead of the descriptor (:class:`PairMatcher`); the
            descriptor still serves frames that lie too far off their place in step 3.
        pairs: Matched and verified pairs (:func:`verify_pairs`), in pixels of the frames.
        initial: (T, 3, 3) homographies that are right to some pixels, reference ~ H @ frame, or
            into any other plane that all share; NaN where it is not known. They need
            ``reference``.
        distortion: ``"none"``, or ``"shared"``: one radial coefficient for all frames, whole photos
            of one camera at one focal length, each distorted around its own centre. Where it
            cannot be told from none (by five standard deviations), there is none.
        bends: ``"auto"``: look for what is not quite flat, a smooth grid of displacements for each
            frame against the reference, which stays as it is (:func:`refine_grid`); a frame that
            its homography explains has none. Or ``"none"``.
        options: Sizes and thresholds; ``None``: the defaults of :class:`AlignOptions`.
        valid: Optional T masks (1, H, W) bool of pixels that the photos really hold.
        device: Where to compute; ``None``: where the frames are.
        generator: Source of randomness; ``None``: a fixed seed.
        progress: Called with (name of the step, steps done, steps in all).

    Returns:
        :class:`Alignment`, on the CPU, homographies in float64.

    Raises:
        ShapeError, DtypeError: The frames are not pictures.
        OptionError: ``reference`` is not a frame, ``distortion`` or ``bends`` is unknown or asked
            for without ``AlignOptions.joint``, or what comes from elsewhere does not fit together.
        ShapeError, DtypeError: Descriptor or matcher return something else than is stated.
        DeviceError: ``device`` does not compute.

    Example:
        >>> noise = torch.rand(3, 150, 170, generator=torch.Generator().manual_seed(0))
        >>> picture = torch.nn.functional.avg_pool2d(noise, 11, stride=1)
        >>> frames = [picture[:, :128, :144], picture[:, 6:134, 10:154]]
        >>> alignment = align_sequence(frames, reference=0)
        >>> alignment.success, alignment.homography_reference_frame[1, :2, 2].round(decimals=1)
        (tensor([True, True]), tensor([10.,  6.], dtype=torch.float64))
    """
    op = "align_sequence"
    options = options or AlignOptions()
    sequence = prepare_frames(op, frames, valid, device)
    count = len(sequence.frames)
    check_generator(op, generator)
    _check_options(op, reference, count, distortion, options)
    check_option(op, bends in BENDS, f"bends to be one of {', '.join(BENDS)}", bends)
    check_option(op, initial is None or reference != "auto", "the reference of the initial homographies", reference)
    given, descriptor = descriptor, as_descriptor(op, descriptor)
    progress = progress or silent
    with torch.no_grad():
        copies = sequence.copies(options.matching_size)
        seen = hide_overlay(sequence.frames, [None if c is None else smaller_copy(c, COPY_SIZE) for c in copies])
        if seen is not None:
            sequence = sequence._replace(frames=seen)
            copies = sequence.copies(options.matching_size)
        how = choose_matcher(descriptor, matcher, options) if pairs is None and initial is None else None
        if pairs is not None:
            check_pairs(op, pairs, count)
        elif how is None:
            pairs = no_pairs()
        else:
            pairs = match_frames(
                copies,
                sizes=sequence.sizes,
                reference=reference,
                matcher=how,
                view_matcher=choose_view_matcher(given, how, options, sequence.device),
                options=options,
                generator=generator,
                progress=progress,
            )
            pairs = refuse_contradicted(pairs, sequence.sizes)
        reference = find_reference(reference, copies, sequence.sizes, pairs)
        del copies
        if initial is None:
            start = chain_pairs(pairs, count, reference)
        else:
            start = start_from(op, initial, sequence.finite, reference)
        place = partial(
            place_sequence,
            frames=sequence.frames,
            reference=reference,
            distortion=distortion,
            descriptor=descriptor,
            options=options,
            generator=generator,
            device=sequence.device,
            progress=progress,
        )
        placement = place(start, pairs)
        # Those that fit several places do so turned, too.
        failed = {t: frame.reason for t, frame in placement.refined.items() if not frame.success}
        refused = [t for t, reason in failed.items() if reason == Reason.PIXELS_DISAGREE]
        if how is not None and refused:
            placed = {t: placement.adjusted.homography[t] for t in (*placement.placed, reference)}
            pairs, found = match_refused(
                sequence.copies(options.matching_size),
                refused,
                placed,
                pairs,
                matcher=how,
                options=options,
                generator=generator,
                progress=progress,
            )
            if found:
                again = place({**placed, **found}, pairs)
                placement = again._replace(refined={**placement.refined, **again.refined})
        grid = None
        if bends == "auto":
            placement, grid = bend_frames(
                placement, sequence.frames, reference, options=options, device=sequence.device, progress=progress
            )
        return judge_frames(pairs, placement, sequence.finite, reference, grid)


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
