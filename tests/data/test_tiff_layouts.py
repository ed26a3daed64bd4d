"""TIFFs of every layout give the numbers that were written, or a refusal; nothing is guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from diar_ops.data import ImageError, read_image
from tests.data.image_files import RGB8, RGB16, RNG, H, W, channels_last, smooth

BOTH = pytest.mark.parametrize("rgb", [RGB8, RGB16], ids=["8", "16"])


@BOTH
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"rowsperstrip": 7},
        {"tile": (16, 16)},
        {"compression": "zlib", "predictor": True},
        {"compression": "lzw"},
        {"compression": "lzma"},
        {"compression": "zstd"},
    ],
    ids=str,
)
@pytest.mark.parametrize("planar", [False, True])
def test_layouts(tmp_path: Path, rgb: np.ndarray, options: dict[str, Any], planar: bool) -> None:
    written = np.ascontiguousarray(rgb.transpose(2, 0, 1)) if planar else rgb
    config = "separate" if planar else "contig"
    tifffile.imwrite(tmp_path / "a.tif", written, photometric="rgb", planarconfig=config, **options)
    photo = read_image(tmp_path / "a.tif")
    assert photo.valid is None
    np.testing.assert_array_equal(channels_last(photo), rgb)


def test_jpeg_in_tiff(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", smooth(), photometric="rgb", compression="jpeg")
    assert np.abs(channels_last(read_image(tmp_path / "a.tif")).astype(int) - smooth()).max() <= 8


@BOTH
def test_min_is_white(tmp_path: Path, rgb: np.ndarray) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.iinfo(rgb.dtype).max - rgb[..., 0], photometric="miniswhite")
    np.testing.assert_array_equal(channels_last(read_image(tmp_path / "a.tif"))[..., 1], rgb[..., 0])


@BOTH
@pytest.mark.parametrize("extra", [["unspecified"], ["unspecified"] * 2, ["unspecified", "unassalpha"], ["unassalpha"]])
def test_only_alpha_is_alpha(tmp_path: Path, rgb: np.ndarray, extra: list[str]) -> None:
    infrared = RNG.integers(0, np.iinfo(rgb.dtype).max, (H, W, len(extra)), dtype=rgb.dtype)
    tifffile.imwrite(tmp_path / "a.tif", np.dstack((rgb, infrared)), photometric="rgb", extrasamples=extra)
    photo = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(channels_last(photo), rgb)
    if "unassalpha" in extra:
        opaque = infrared[..., extra.index("unassalpha")] > np.iinfo(rgb.dtype).max / 2
        np.testing.assert_array_equal(photo.valid[0].numpy(), opaque)
    else:
        assert photo.valid is None


def test_floats_of_known_range(tmp_path: Path) -> None:
    floats = RGB16.astype(np.float32) / 65535
    tifffile.imwrite(tmp_path / "a.tif", floats, photometric="rgb")
    np.testing.assert_array_equal(channels_last(read_image(tmp_path / "a.tif")), RGB16)
    tifffile.imwrite(tmp_path / "a.tif", 4 * floats, photometric="rgb")
    with pytest.raises(ImageError, match="only 0 to 1 can be read"):
        read_image(tmp_path / "a.tif")


def test_a_thumbnail_before_the_photo_is_not_the_photo(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(RGB8[::4, ::4], photometric="rgb", subfiletype=1)
        writer.write(RGB16, photometric="rgb")
    photo = read_image(tmp_path / "a.tif")
    assert photo.notes == ()
    np.testing.assert_array_equal(channels_last(photo), RGB16)


def test_what_cannot_be_read_is_refused_in_true_words(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", RGB8.astype(np.uint32), photometric="rgb")
    with pytest.raises(ImageError, match="32-bit unsigned pixels, which are not supported"):
        read_image(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "a.tif", np.dstack((RGB16, RGB16[..., 0])), photometric="separated")
    with pytest.raises(ImageError, match="16-bit TIFF that is neither grey nor RGB"):
        read_image(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "a.tif", RGB16, photometric="rgb", compression="lzw")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    (tmp_path / "a.tif").write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match="truncated"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("tag", [322, 277], ids=["tiles", "samples"])
def test_a_file_that_lies_about_its_size(tmp_path: Path, tag: int) -> None:
    tifffile.imwrite(tmp_path / "a.tif", smooth(), photometric="rgb", tile=(16, 16), compression="zlib")
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as file:
        file.pages[0].tags[tag].overwrite(2**15 if tag == 277 else 2**28)
    with pytest.raises(ImageError, match="damaged"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK"])
def test_what_pillow_reads_in_eight_bits(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(smooth()).convert(mode)
    image.save(tmp_path / "a.tif")
    np.testing.assert_array_equal(channels_last(read_image(tmp_path / "a.tif")), np.asarray(image.convert("RGB")))
