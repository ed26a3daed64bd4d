"""The pipeline computes where the frames are, and what it finds does not hang on the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from diar_ops import Alignment, align_sequence, corner_error, reconstruct_sequence, settle_frames
from diar_ops.pipeline import AGGREGATORS, AlignOptions, aligned_frames
from tests import photos
from tests.harness import assert_close
from tests.pipeline.test_aggregators import MODULES, small_network
from tests.pretend_gpu import GPU, pretend_gpu


def views(size: int, count: int) -> list[Tensor]:
    return [photos.as_frame(view) for view in photos.sequence(size, count)[1]]


def on_gpu(call: Callable[[list[Tensor]], Any], frames: list[Tensor]) -> tuple[Any, Any]:
    """Return what a call makes of frames on the CPU and on the GPU, and the work there."""
    expected = call(frames)
    with pretend_gpu() as work:
        found = call([frame.to(GPU) for frame in frames])
    assert work.kernels.total() > 50, "it was computed elsewhere"
    return expected, found


def assert_same_alignment(found: Alignment, expected: Alignment, *, most: float = 2e-3) -> None:
    assert torch.equal(found.reason, expected.reason)
    assert found.reference == expected.reference
    error = corner_error(found.homography_reference_frame, expected.homography_reference_frame, size=expected.size)
    assert error.max() < most


@pytest.mark.parametrize(
    ("size", "options", "distortion", "most"),
    [
        (128, AlignOptions(), "none", 2e-3),
        # A tile of noise more or less: one more pixel around the tiles' crops moves corners by 0.006.
        (400, AlignOptions(refinement_size=200), "none", 0.02),
        (160, AlignOptions(), "shared", 2e-3),
    ],
)
def test_alignment(size: int, options: AlignOptions, distortion: str, most: float) -> None:
    def align(frames: list[Tensor]) -> Alignment:
        return align_sequence(frames, options=options, distortion=distortion)

    expected, found = on_gpu(align, views(size, 3))
    assert bool(expected.success.all())
    assert_same_alignment(found, expected, most=most)


def test_more_frames_take_no_more_kernels() -> None:
    """Frames and pairs of one size go together."""
    counts = []
    for number in (3, 8):
        with pretend_gpu() as work:
            align_sequence([frame.to(GPU) for frame in views(128, number)])
        counts.append((work.kernels.total(), sum(work.waits.values())))
    (few, few_waits), (many, many_waits) = counts
    assert many < 1.3 * few
    assert many_waits < few_waits + 20
    assert many < 17_000  # with what RANSAC and refinement do within their operators


def test_alignment_of_turned_and_masked_photos() -> None:
    """Frames that are matched rotated, and on larger copies, and refined with masks."""
    frames = views(160, 4)
    frames[2] = frames[2].rot90(1, (1, 2)).contiguous()
    masks: list[Tensor | None] = [None] * 4
    masks[1] = torch.ones(1, 160, 160, dtype=torch.bool)
    masks[1][:, :20] = False
    expected = align_sequence(frames, valid=masks, reference=0)
    with pretend_gpu():
        moved = [None if mask is None else mask.to(GPU) for mask in masks]
        found = align_sequence([frame.to(GPU) for frame in frames], valid=moved, reference=0)
    assert bool(expected.success.all())
    assert_same_alignment(found, expected)


def test_a_device_of_ones_own() -> None:
    frames = views(128, 3)
    expected = align_sequence(frames)
    picture = reconstruct_sequence(frames, expected, aggregator="median")
    with pretend_gpu() as work:
        assert_same_alignment(align_sequence(frames, device=GPU), expected)
        found = reconstruct_sequence(frames, expected, aggregator="median", device=GPU)
        assert work.kernels.total() > 50
    assert_close(found.image, picture.image, atol=1e-5)


@pytest.mark.parametrize("settle", [False, True])
@pytest.mark.parametrize("name", ["diar", *AGGREGATORS])
def test_reconstruction(name: str, settle: bool) -> None:
    alignment = photos.exact_alignment(photos.sequence(96, 3)[2], (96, 96))

    def reconstruct(frames: list[Tensor]) -> Any:
        return reconstruct_sequence(frames, alignment, aggregator=name, settle=settle, working_size=64)

    expected, found = on_gpu(reconstruct, views(96, 3))
    assert_close(found.image, expected.image, atol=2e-3 if name in ("rpca", "diar") else 1e-4)
    assert torch.equal(found.coverage, expected.coverage)
    if expected.weights is not None:
        assert_close(found.weights, expected.weights, atol=2e-3)


def test_networks_are_given_their_input_where_they_are() -> None:
    alignment = photos.exact_alignment(photos.sequence(96, 3)[2], (96, 96))
    frames = views(96, 3)
    for network in (small_network(), MODULES["DIAR"][0].eval()):
        expected = reconstruct_sequence(frames, alignment, aggregator=network)
        with pretend_gpu():
            found = reconstruct_sequence([frame.to(GPU) for frame in frames], alignment, aggregator=network)
        assert_close(found.image, expected.image, atol=1e-4)


def test_settling_and_aligned_frames() -> None:
    frames = torch.stack(views(96, 4)).float()[None] / 255
    expected = settle_frames(frames)
    with pretend_gpu():
        assert_close(settle_frames(frames.to(GPU)).cpu(), expected, atol=1e-6)
    alignment = photos.exact_alignment(photos.sequence(96, 3)[2], (96, 96))
    expected_frames = list(aligned_frames(views(96, 3), alignment))
    with pretend_gpu():
        for (_, image, shown), (_, other, other_shown) in zip(
            aligned_frames([frame.to(GPU) for frame in views(96, 3)], alignment), expected_frames, strict=True
        ):
            assert_close(image.cpu(), other)
            assert torch.equal(shown.cpu(), other_shown)
