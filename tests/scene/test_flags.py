"""Shares count pixels of the picture only."""

from __future__ import annotations

import pytest
import torch

from diar_ops.scene import FrameFlag, frame_shares


def test_shares_count_pixels_of_the_picture_only() -> None:
    """The picture covers the left half of the frame, and a quarter of it lies outside."""
    H = torch.tensor([[1.0, 0, -2], [0, 1, 0], [0, 0, 1]])  # two of eight columns are cut off
    occluded = torch.zeros(1, 8, 12, dtype=torch.bool)
    occluded[..., :3] = True
    occluded[..., 8:] = True  # beside the picture
    flags = torch.zeros(1, 8, 12, dtype=torch.uint8)
    flags[:, :2] = FrameFlag.SHADOW
    flags[:, :, 5:] |= FrameFlag.SATURATED | FrameFlag.HIGHLIGHT
    shares = frame_shares(H, occluded, flags, label_size=(8, 8))
    assert shares == pytest.approx((0.75, 0.5, 0.25, 1 / 6, 1 / 6), abs=1e-6)
    assert frame_shares(-H, occluded, flags, label_size=(8, 8)) == shares
    bare = frame_shares(H, occluded, label_size=(8, 8))
    assert bare == pytest.approx((0.75, 0.5, 0, 0, 0))


def test_shares_of_a_frame_that_shows_nothing_are_zero() -> None:
    away = torch.tensor([[1.0, 0, 50], [0, 1, 0], [0, 0, 1]])
    shares = frame_shares(away, torch.ones(1, 8, 8, dtype=torch.bool), label_size=(8, 8))
    assert shares == (0, 0, 0, 0, 0)


def test_what_is_behind_the_camera_is_not_seen() -> None:
    """The horizon cuts the label: what lies beyond it would land in the frame, mirrored."""
    H = torch.tensor([[1.0, 0, 0], [0, 1, 0], [-0.19, 0, 1]])  # horizon at x = 5.26
    shares = frame_shares(H, torch.zeros(1, 8, 40, dtype=torch.bool), label_size=(8, 9))
    # x = 0 ... 5 lie in front, there x / (1 - 0.19 x) is 0, 1.2, 3.2, 7.0, 16.7 and 100; y grows
    # likewise, so that row y is seen while y / (1 - 0.19 x) <= 7.5.
    rows = sum(sum(y / (1 - 0.19 * x) <= 7.5 for y in range(8)) for x in range(5))
    assert shares.visible == pytest.approx(rows / 72, abs=1e-6)
