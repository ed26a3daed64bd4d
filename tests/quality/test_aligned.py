"""Frames lie over the label, by the homographies of the sequence and of the disturbance."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.quality import aligned
from benchmarks.quality.aligned import Disturbance, load_aligned
from diar_ops import Alignment, psnr
from diar_ops.data import ImageError, SequenceDataset
from tests.photos import exact_alignment
from tests.sequences import write_sequence


def test_aligned_frames_are_the_files(tmp_path: Path) -> None:
    write_sequence(tmp_path / "s", kind="aligned")
    aligned = load_aligned(tmp_path / "s", 3)
    assert torch.equal(aligned.frames[0], SequenceDataset(tmp_path / "s")[0]["frames"][:3])
    assert aligned.valid is None
    assert aligned.covered is None


def test_misaligned_frames_are_laid_over_the_label(tmp_path: Path) -> None:
    write_sequence(tmp_path / "s")
    aligned = load_aligned(tmp_path / "s", 4)
    assert aligned.frames.shape[:3] == (1, 4, 3)
    assert aligned.valid is not None
    assert aligned.valid[0, 0].all(), "frame 0 is the reference"
    label = aligned.label.expand_as(aligned.frames[0])
    quality = psnr(aligned.frames[0], label, aligned.valid[0])
    assert quality.min() > 30  # what one interpolation costs
    two = aligned.prefix(2)
    assert two.frames.shape[1] == 2
    assert two.covered is not None
    assert torch.equal(two.covered, aligned.valid[:, :2].any(1))


def test_disturbed_frames_are_moved_and_say_where_they_are(tmp_path: Path) -> None:
    write_sequence(tmp_path / "s", kind="aligned")
    still = load_aligned(tmp_path / "s", 4)
    one = load_aligned(tmp_path / "s", 4, Disturbance(jitter=1))
    three = load_aligned(tmp_path / "s", 4, Disturbance(jitter=3))
    assert one.valid is not None
    assert three.valid is not None
    assert 0.5 < three.valid.float().mean() < one.valid.float().mean() < 1
    label = still.label.expand_as(still.frames[0])
    exact = psnr(still.frames[0], label)
    first, second = (psnr(x.frames[0], label, x.valid[0]) for x in (one, three))
    assert (exact > first).all()
    assert (first > second).all()
    gross = load_aligned(tmp_path / "s", 4, Disturbance(misaligned=1))
    same = [torch.equal(a, b) for a, b in zip(gross.frames[0], still.frames[0], strict=True)]
    assert same.count(False) >= 1
    assert same[0] or torch.allclose(gross.frames[0, 0], still.frames[0, 0], atol=1e-4)


def test_too_few_frames(tmp_path: Path) -> None:
    write_sequence(tmp_path / "s", kind="aligned")
    with pytest.raises(ImageError, match="has 4 frames, 5 were asked for"):
        load_aligned(tmp_path / "s", 5)


def test_self_aligned_frames_lie_where_the_pipeline_lays_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sequence(tmp_path / "s")
    exact = load_aligned(tmp_path / "s", 4)
    H = SequenceDataset(tmp_path / "s")[0]["homography_frame_label"]
    seen = []

    def known(frames: Tensor, *, reference: int) -> Alignment:
        seen.append((frames, reference))
        done = [True, True, False, True]
        sizes = (frames.shape[-2], frames.shape[-1])
        return exact_alignment(H.numpy(), sizes, reference=reference, success=done)

    monkeypatch.setattr(aligned, "align_sequence", known)
    loaded = load_aligned(tmp_path / "s", 4, Disturbance(self_aligned=True))
    assert [(frames.shape[0], reference) for frames, reference in seen] == [(4, 0)]
    assert loaded.valid is not None
    assert exact.valid is not None
    assert not loaded.valid[:, 2].any()
    keep = [0, 1, 3]
    assert torch.equal(loaded.valid[:, keep], exact.valid[:, keep])
    torch.testing.assert_close(loaded.frames[:, keep], exact.frames[:, keep], rtol=0, atol=1e-4)
