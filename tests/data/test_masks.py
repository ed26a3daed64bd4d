"""Masks read back as they were written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from diar_ops import DtypeError, OptionError, ShapeError
from diar_ops._files import write_image
from diar_ops.data import ImageError, read_flags, read_mask, write_flags, write_mask
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
