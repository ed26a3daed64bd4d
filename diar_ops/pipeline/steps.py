"""The steps of :func:`align_sequence` that work on frames, one by one: match, compare, place."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from diar_ops._checks import check_option, eager, full_precision
from diar_ops._types import PairMatches
from diar_ops.pipeline._align.bends import bend_frames
from diar_ops.pipeline._align.match import Descriptor, PairMatcher, as_descriptor, choose_matcher, choose_view_matcher
from diar_ops.pipeline._align.pairs import check_pairs, match_frames, no_pairs
from diar_ops.pipeline._align.place import Placement, place_sequence, start_from
from diar_ops.pipeline._frames import Frames, Progress, prepare_frames, sharpness_of, silent
from diar_ops.pipeline.options import AlignOptions


@eager
@full_precision
def match_pairs(
    frames: Frames,
    *,
    descriptor: Descriptor | None = None,
    matcher: PairMatcher | None = None,
    options: AlignOptions | None = None,
    valid: Sequence[Tensor | None] | None = None,
    device: torch.device | str | None = None,
    generator: torch.Generator | None = None,
    progress: Progress | None = None,
) -> PairMatches:
    """Match and verify the pairs of a sequence: the first step of :func:`align_sequence`.

    Args:
        frames: (T, 3, H, W), or T tensors (3, H, W) of any sizes.
        descriptor: See :func:`align_sequence`.
        matcher: See :func:`align_sequence`.
        options: See :func:`align_sequence`.
        valid: Optional T masks (1, H, W) bool.
        device: Where to compute; ``None``: where the frames are.
        generator: Source of randomness; ``None``: a fixed seed.
        progress: Called with (name of the step, steps done, steps in all).

    Returns:
        :class:`PairMatches` on the CPU, in full-resolution pixels. Pairs that could not be verified
        are among them.

    Raises:
        DiarError: As :func:`align_sequence` does.
    """
    op, options = "match_pairs", options or AlignOptions()
    sequence = prepare_frames(op, frames, valid, device)
    how = choose_matcher(as_descriptor(op, descriptor), matcher, options)
    with torch.no_grad():
        copies = sequence.copies(options.matching_size)
        return match_frames(
            copies,
            sizes=sequence.sizes,
            reference="auto",
            matcher=how,
            view_matcher=choose_view_matcher(descriptor, how, options, sequence.device),
            options=options,
            generator=generator,
            progress=progress or silent,
        )


@eager
@full_precision
def frame_sharpness(
    frames: Frames,
    *,
    valid: Sequence[Tensor | None] | None = None,
    longest: int = 512,
    device: torch.device | str | None = None,
) -> Tensor:
    """Compare how sharp frames are, for :func:`choose_reference`.

    Args:
        frames: (T, 3, H, W), or T tensors (3, H, W) of any sizes.
        valid: Optional T masks (1, H, W) bool.
        longest: Longest side of the copies that are compared, in pixels.
        device: Where to compute; ``None``: where the frames are.

    Returns:
        (T,) float32 on the CPU: the mean gradient per contrast; 0 where a value is not finite.

    Raises:
        ShapeError, DtypeError: The frames are not pictures.
    """
    sequence = prepare_frames("frame_sharpness", frames, valid, device)
    with torch.no_grad():
        copies = sequence.copies(longest)
        return torch.tensor([0.0 if c is None else sharpness_of(c.image) for c in copies], dtype=torch.float32)


@eager
@full_precision
def place_frames(
    frames: Frames,
    initial: Tensor,
    reference: int,
    *,
    pairs: PairMatches | None = None,
    distortion: str = "none",
    descriptor: Descriptor | None = None,
    options: AlignOptions | None = None,
    valid: Sequence[Tensor | None] | None = None,
    device: torch.device | str | None = None,
    generator: torch.Generator | None = None,
    progress: Progress | None = None,
) -> Placement:
    """Place frames exactly from homographies that are right to some pixels.

    Steps 3 to 5 of :func:`align_sequence`: each frame is refined against the reference, all are
    adjusted jointly, large ones are compared in tiles. :func:`judge_frames` makes an
    :class:`Alignment` of the result.

    Args:
        frames: (T, 3, H, W), or T tensors (3, H, W) of any sizes.
        initial: (T, 3, 3), see :func:`align_sequence`.
        reference: The reference frame.
        pairs: Verified pairs: they lead frames that share too little with the reference to others,
            and tell of the lens.
        distortion: See :func:`align_sequence`.
        descriptor: See :func:`align_sequence`.
        options: See :func:`align_sequence`.
        valid: Optional T masks (1, H, W) bool.
        device: Where to compute; ``None``: where the frames are.
        generator: Source of randomness; ``None``: a fixed seed.
        progress: Called with (name of the step, steps done, steps in all).

    Returns:
        :class:`Placement`.

    Raises:
        DiarError: As :func:`align_sequence` does.
    """
    op, options = "place_frames", options or AlignOptions()
    sequence = prepare_frames(op, frames, valid, device)
    count = len(sequence.frames)
    known = isinstance(reference, int) and 0 <= reference < count
    check_option(op, known, f"reference to be a frame from 0 to {count - 1}", reference)
    pairs = no_pairs() if pairs is None else pairs
    check_pairs(op, pairs, count)
    with torch.no_grad():
        return place_sequence(
            start_from(op, initial, sequence.finite, reference),
            pairs,
            sequence.frames,
            reference,
            distortion=distortion,
            descriptor=as_descriptor(op, descriptor),
            options=options,
            generator=generator,
            device=sequence.device,
            progress=progress or silent,
        )


@eager
@full_precision
def find_bends(
    frames: Frames,
    placement: Placement,
    reference: int,
    *,
    options: AlignOptions | None = None,
    valid: Sequence[Tensor | None] | None = None,
    device: torch.device | str | None = None,
    progress: Progress | None = None,
) -> tuple[Placement, Tensor | None]:
    """Find what is not quite flat: step 6 of :func:`align_sequence`.

    Args:
        frames: (T, 3, H, W), or T tensors (3, H, W) of any sizes.
        placement: Of :func:`place_frames`.
        reference: The reference frame.
        options: See :func:`align_sequence`.
        valid: Optional T masks (1, H, W) bool.
        device: Where to compute; ``None``: where the frames are.
        progress: Called with (name of the step, steps done, steps in all).

    Returns:
        The placement, with frames that agree only under their grid; and :attr:`Alignment.grid`.

    Raises:
        DiarError: As :func:`align_sequence` does.
    """
    sequence = prepare_frames("find_bends", frames, valid, device)
    with torch.no_grad():
        return bend_frames(
            placement,
            sequence.frames,
            reference,
            options=options or AlignOptions(),
            device=sequence.device,
            progress=progress or silent,
        )
