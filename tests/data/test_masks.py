"""Masks read back as they were written, and shares count pixels of the picture only."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from diar_ops import DtypeError, ImageError, OptionError, ShapeError
from diar_ops._files import write_image
from diar_ops.data import read_flags, read_mask, write_flags, write_mask
from diar_ops.scene import FrameFlag, frame_shares
from tests.harness import generator


def test_masks_round_trip(tmp_path: Path) -> None:
    mask = torch.rand(1, 7, 11, generator=generator("mask")) > 0.5
    write_mask(tmp_path / "a.png", mask)
    assert torch.equal(read_mask(tmp_path / "a.png"), mask)
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "L"
        assert set(image.tobytes()) == {0, 255}


def test_a_mask_of_sixteen_bits_is_read_by_halves(tmp_path: Path) -> None:
    levels = torch.tensor([[[0, 32767, 32768, 65535]]], dtype=torch.int32).to(torch.uint16)
    write_image(tmp_path / "a.png", levels)
    assert read_mask(tmp_path / "a.png").tolist() == [[[False, False, True, True]]]


def test_flags_round_trip_and_have_colours(tmp_path: Path) -> None:
    flags = torch.randint(8, (1, 9, 5), generator=generator("flags")).to(torch.uint8)
    write_flags(tmp_path / "a.png", flags)
    assert torch.equal(read_flags(tmp_path / "a.png"), flags)
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "P"
        palette = image.convert("RGB").getcolors()
    assert palette is not None
    assert len({colour for _, colour in palette}) == len(flags.unique())


def test_grey_levels_are_flags_too(tmp_path: Path) -> None:
    flags = torch.arange(8, dtype=torch.uint8).reshape(1, 2, 4)
    write_image(tmp_path / "a.png", flags)
    assert torch.equal(read_flags(tmp_path / "a.png"), flags)


def test_wrong_arguments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="flags below 8, got 8"):
        write_flags(tmp_path / "a.png", torch.full((1, 2, 2), 8, dtype=torch.uint8))
    with pytest.raises(DtypeError, match="uint8"):
        write_flags(tmp_path / "a.png", torch.zeros(1, 2, 2))
    with pytest.raises(DtypeError, match="mask must be bool"):
        write_mask(tmp_path / "a.png", torch.zeros(1, 2, 2))
    with pytest.raises(ShapeError):
        write_mask(tmp_path / "a.png", torch.zeros(3, 2, 2, dtype=torch.bool))
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_flag_map_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with pytest.raises(ImageError, match=r"a\.png does not exist"):
        read_flags(path)
    write_image(path, torch.full((1, 2, 2), 8, dtype=torch.uint8))
    with pytest.raises(ImageError, match="palette indices are below 8"):
        read_flags(path)
    write_image(path, torch.zeros(3, 2, 2), overwrite=True)
    with pytest.raises(ImageError, match="palette indices are below 8"):
        read_flags(path)
    write_flags(path, torch.zeros(1, 64, 64, dtype=torch.uint8), overwrite=True)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ImageError, match=r"a\.png is truncated or damaged"):
        read_flags(path)
    path.write_text("no picture")
    with pytest.raises(ImageError, match=r"a\.png is not a PNG image"):
        read_flags(path)


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
