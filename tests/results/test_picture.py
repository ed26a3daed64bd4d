"""The clean picture in each format: its pixels, depth, profile, and what is told of it and what is not."""

from __future__ import annotations

import base64
import io
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from diar_ops import OptionError, OutputError
from diar_ops.data import read_image
from diar_ops.data.profiles import DISPLAY_P3, shipped_profile
from diar_ops.results.images import data_uri
from diar_ops.results.picture import FORMATS, picture_metadata, write_picture
from tests.harness import generator
from tests.results.small_results import listing, write

P3 = shipped_profile(DISPLAY_P3)
GPS, DETAILS = 0x8825, 0x8769
PIXELS = torch.rand(3, 1, 6, generator=generator("formats")).repeat_interleave(8, 1).repeat_interleave(4, 2)


def camera_exif() -> bytes:
    exif = Image.Exif()
    exif[0x010F], exif[0x013B], exif[0x0112] = "Maker", "Jane Doe", 6
    exif.get_ifd(DETAILS)[0x9003] = "2024:05:06 07:08:09"
    exif.get_ifd(DETAILS)[0xA430] = "Jane Doe"
    exif.get_ifd(GPS)[1] = "N"
    exif.get_ifd(GPS)[2] = (52.0, 30.0, 1.0)
    return exif.tobytes()


@pytest.mark.parametrize("bit_depth", [8, 16])
@pytest.mark.parametrize("name", FORMATS)
def test_every_format(tmp_path: Path, name: str, bit_depth: int) -> None:
    path = tmp_path / f"clean{FORMATS[name]}"
    valid = torch.ones(1, 8, 24, dtype=torch.bool)
    valid[..., :4] = False
    exif = picture_metadata(["a.jpg"], "homographies.json")
    write_picture(path, PIXELS, valid=valid, icc_profile=P3, exif=exif, bit_depth=bit_depth)
    photo = read_image(path)
    lossless = name in ("png", "tiff")
    assert photo.bit_depth == (bit_depth if lossless else 8)
    assert photo.icc_profile == P3
    assert (photo.valid is None) == (name == "jpg")
    top = 2**photo.bit_depth - 1
    shown = (photo.pixels.int() - (PIXELS * top).round().int())[..., 4:]
    assert shown.abs().float().mean() <= (0 if lossless else 15)  # WebP halves the colours' resolution
    with Image.open(path) as image:
        tags = image.getexif()
        assert tags[0x0131].startswith("diar_ops ")
        assert tags[0x010E] == "Made of a.jpg; see homographies.json"


def test_nothing_private_is_carried_over_unless_asked(tmp_path: Path) -> None:
    for keep in (False, True):
        data = picture_metadata(["a.jpg", "\udce9.jpg"], "h.json", photo_exif=camera_exif(), keep=keep)
        write_picture(tmp_path / "a.jpg", PIXELS, exif=data, overwrite=True)
        with Image.open(tmp_path / "a.jpg") as image:
            tags = image.getexif()
        details, place = tags.get_ifd(DETAILS), tags.get_ifd(GPS)
        assert tags[0x0132] == details[0x9003] == "2024:05:06 07:08:09"
        assert 0x0112 not in tags, "the picture is upright"
        assert (b"Jane Doe" in data) == (b"Maker" in data) == keep
        assert dict(place) == ({1: "N", 2: (52.0, 30.0, 1.0)} if keep else {})


def test_damaged_metadata_are_no_reason_to_lose_the_picture() -> None:
    for broken in (b"", b"Exif", b"II*\0\xff\xff\xff\xff", camera_exif()[:50]):
        for keep in (False, True):
            assert b"Made of a" in picture_metadata(["a"], "h.json", photo_exif=broken, keep=keep)


def test_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match="ends in"):
        write_picture(tmp_path / "a.bmp", PIXELS)
    with pytest.raises(OutputError, match="webp holds at most 16383 pixels a side, not 16384; use png or tiff"):
        write_picture(tmp_path / "a.webp", torch.zeros(3, 1, 16384))
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(OutputError, match=r"pip install 'diar-ops\[photos\]'"):
        write_picture(tmp_path / "a.tif", PIXELS)
    assert list(tmp_path.iterdir()) == []


def test_another_format_replaces_the_earlier_picture(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path, picture_format="tiff", overwrite=True)
    assert [name for name in listing(tmp_path) if name.startswith("clean")] == ["clean.tif"]
    with pytest.raises(OutputError, match=r"already holds results \(clean\.tif\)"):
        write(tmp_path)


def test_pictures_of_the_report_carry_the_profile() -> None:
    for image in (PIXELS, PIXELS[[0, 1, 2, 0]]):
        encoded = base64.b64decode(data_uri(image, icc_profile=P3).partition(",")[2])
        assert Image.open(io.BytesIO(encoded)).info["icc_profile"] == P3
