"""Every kind of photo file is read as a person sees it."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

from diar_ops.data import ImageError, read_image
from tests.data.image_files import RGB8, RGB16, RNG, SRGB, H, W, channels_last, chunk, png, smooth


@pytest.mark.parametrize("suffix", [".png", ".tif", ".TIFF"])
def test_lossless_rgb_8_bit(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(RGB8).save(tmp_path / f"a{suffix}")
    photo = read_image(tmp_path / f"a{suffix}")
    assert photo.pixels.dtype == torch.uint8
    assert photo.pixels.is_contiguous()
    assert (photo.bit_depth, photo.size, photo.name) == (8, (H, W), f"a{suffix}")
    assert photo.valid is None
    assert photo.icc_profile is None
    np.testing.assert_array_equal(channels_last(photo), RGB8)


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".webp"])
def test_lossy_rgb(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(smooth()).save(tmp_path / f"a{suffix}", quality=95)
    difference = channels_last(read_image(tmp_path / f"a{suffix}")).astype(int) - smooth()
    assert np.abs(difference).max() <= 6  # lossy by nature; a swapped channel gives over 100


def test_lossless_webp_with_alpha(tmp_path: Path) -> None:
    alpha = np.full((H, W, 1), 255, np.uint8)
    alpha[:5] = 0
    Image.fromarray(np.dstack((RGB8, alpha))).save(tmp_path / "a.webp", lossless=True, exact=True)
    photo = read_image(tmp_path / "a.webp")
    np.testing.assert_array_equal(channels_last(photo), RGB8)
    np.testing.assert_array_equal(photo.valid[0].numpy(), alpha[..., 0] > 0)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("compression", [1, 5])
def test_rgb_16_bit_keeps_every_level(tmp_path: Path, suffix: str, compression: int) -> None:
    options = [cv2.IMWRITE_TIFF_COMPRESSION, compression] if suffix == ".tif" else []
    assert cv2.imwrite(str(tmp_path / f"a{suffix}"), RGB16[..., ::-1], options)
    photo = read_image(tmp_path / f"a{suffix}")
    assert photo.pixels.dtype == torch.uint16
    assert photo.bit_depth == 16
    np.testing.assert_array_equal(channels_last(photo), RGB16)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_grey_is_repeated(tmp_path: Path, suffix: str, depth: type) -> None:
    grey = RNG.integers(0, np.iinfo(depth).max, (H, W), dtype=depth)
    Image.fromarray(grey).save(tmp_path / f"a{suffix}")
    photo = read_image(tmp_path / f"a{suffix}")
    assert photo.pixels.shape == (3, H, W)
    for plane in photo.pixels.numpy():
        np.testing.assert_array_equal(plane, grey)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_becomes_valid(tmp_path: Path, depth: int, channels: int) -> None:
    top = 2**depth - 1
    pixels = RNG.integers(0, top, (H, W, channels), dtype=np.uint32)
    pixels[..., -1] = top
    pixels[:3, :, -1] = 0
    pixels[3, :, -1] = top // 2  # just below one half
    (tmp_path / "a.png").write_bytes(png(pixels, {2: 4, 4: 6}[channels], depth))
    photo = read_image(tmp_path / "a.png")
    assert photo.bit_depth == depth
    expected = np.broadcast_to(pixels[..., :-1], (H, W, 3))
    np.testing.assert_array_equal(channels_last(photo)[4:], expected[4:])
    assert photo.valid.shape == (1, H, W)
    assert photo.valid.dtype == torch.bool
    assert not photo.valid[:, :4].any()
    assert photo.valid[:, 4:].all()


@pytest.mark.parametrize("depth", [8, 16])
def test_opaque_alpha_means_no_mask(tmp_path: Path, depth: int) -> None:
    pixels = np.full((H, W, 4), 2**depth - 1)
    (tmp_path / "a.png").write_bytes(png(pixels, 6, depth))
    assert read_image(tmp_path / "a.png").valid is None


def test_rgba_16_bit_tiff_straight_and_premultiplied(tmp_path: Path) -> None:
    """OpenCV writes its fourth channel without saying what it is; set the tag both ways."""
    alpha = np.full((H, W, 1), 65535, np.uint16)
    alpha[:4] = 40000
    colour = RGB16 // 2
    colour[:4] = (colour[:4] * (40000 / 65535)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "a.tif"), np.dstack((colour[..., ::-1], alpha)), [cv2.IMWRITE_TIFF_COMPRESSION, 1])
    data = bytearray((tmp_path / "a.tif").read_bytes())
    with Image.open(io.BytesIO(data)) as image:
        tags = image.tag_v2
        assert tags[258] == (16, 16, 16, 16)
        stored = tags.get(338)
    photo = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(channels_last(photo)[4:], colour[4:])
    # (338, SHORT, 1) appended as a fresh IFD with one more entry
    order = "<"
    (start,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, start)
    entries = [bytes(data[start + 2 + 12 * i : start + 14 + 12 * i]) for i in range(count)]
    entries = [e for e in entries if struct.unpack_from("<H", e)[0] != 338]
    entries.append(struct.pack("<HHIHH", 338, 3, 1, 1, 0))
    entries.sort(key=lambda e: struct.unpack_from("<H", e)[0])
    struct.pack_into("<I", data, 4, len(data))
    data += struct.pack("<H", len(entries)) + b"".join(entries) + b"\0\0\0\0"
    (tmp_path / "b.tif").write_bytes(data)
    premultiplied = read_image(tmp_path / "b.tif")
    assert stored != (1,)
    difference = channels_last(premultiplied).astype(int) - (RGB16 // 2)
    assert np.abs(difference).max() <= 2  # two roundings to 16 bits


def test_palette_with_and_without_transparency(tmp_path: Path) -> None:
    image = Image.fromarray(np.arange(H * W, dtype=np.uint8).reshape(H, W) % 3, mode=None)
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    assert image.mode == "P"
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "b.png", transparency=b"\xff\x00\xff")
    photo = read_image(tmp_path / "a.png")
    assert photo.pixels[:, 0, :3].T.tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    assert photo.valid is None
    mask = read_image(tmp_path / "b.png").valid
    assert mask[0, 0, :4].tolist() == [True, False, True, True]


def test_black_and_white_tiff(tmp_path: Path) -> None:
    Image.fromarray(RGB8[..., 0] > 127).save(tmp_path / "a.tif", compression="group4")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").pixels[0].numpy(), (RGB8[..., 0] > 127) * 255)


def test_cmyk_jpeg_becomes_rgb(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=95)
    red, green, blue = read_image(tmp_path / "a.jpg").pixels[:, 8, 8].tolist()
    assert red > 180
    assert green < 90
    assert blue < 90


def test_cmyk_with_a_broken_profile_is_still_read(tmp_path: Path) -> None:
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    image.save(tmp_path / "a.jpg", icc_profile=b"no profile" * 20)
    photo = read_image(tmp_path / "a.jpg")
    assert photo.pixels[0, 8, 8] > 180
    assert photo.icc_profile is None


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_rgb_profile_is_kept(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(RGB8).save(tmp_path / f"a{suffix}", icc_profile=SRGB)
    assert read_image(tmp_path / f"a{suffix}").icc_profile == SRGB


def test_profile_of_16_bit_file_is_kept(tmp_path: Path) -> None:
    extra = chunk(b"iCCP", b"x\0\0" + zlib.compress(SRGB))
    (tmp_path / "a.png").write_bytes(png(RGB16, 2, 16, extra))
    assert read_image(tmp_path / "a.png").icc_profile == SRGB


def test_grey_profile_is_dropped(tmp_path: Path) -> None:
    """It would mislabel the RGB pixels that the photo is turned into."""
    grey = SRGB[:16] + b"GRAY" + SRGB[20:]
    Image.fromarray(RGB8[..., 0]).save(tmp_path / "a.jpg", icc_profile=grey)
    assert read_image(tmp_path / "a.jpg").icc_profile is None


def stored(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """What a camera stores so that a viewer that applies ``orientation`` shows ``pixels``."""
    transposed = pixels.swapaxes(0, 1)
    return {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: transposed,
        6: transposed[::-1],
        7: transposed[::-1, ::-1],
        8: transposed[:, ::-1],
    }[orientation]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpg", "png8", "tif8", "webp", "png16", "tif16"])
def test_orientation_is_applied_once(tmp_path: Path, kind: str, orientation: int) -> None:
    suffix = kind.rstrip("0123456789")
    path = tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    if kind == "png16":
        extra = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
        path.write_bytes(png(stored(RGB16, orientation), 2, 16, extra))
        expected = RGB16
    elif kind == "tif16":
        # OpenCV writes no orientation: replace a tag that nobody needs by it.
        cv2.imwrite(str(path), np.ascontiguousarray(stored(RGB16, orientation)[..., ::-1]))
        data = bytearray(path.read_bytes())
        (start,) = struct.unpack_from("<I", data, 4)
        (count,) = struct.unpack_from("<H", data, start)
        entries = [bytes(data[start + 2 + 12 * i : start + 14 + 12 * i]) for i in range(count)]
        entries.append(struct.pack("<HHIHH", 274, 3, 1, orientation, 0))
        entries.sort(key=lambda e: struct.unpack_from("<H", e)[0])
        struct.pack_into("<I", data, 4, len(data))
        data += struct.pack("<H", len(entries)) + b"".join(entries) + b"\0\0\0\0"
        path.write_bytes(data)
        expected = RGB16
    else:
        expected = smooth() if kind in ("jpg", "webp") else RGB8
        options = {"quality": 95} if kind in ("jpg", "webp") else {}
        image = Image.fromarray(np.ascontiguousarray(stored(expected, orientation)))
        image.save(path, exif=exif, **options)
    actual = channels_last(read_image(path))
    assert actual.shape == expected.shape
    tolerance = 6 if kind in ("jpg", "webp") else 0  # lossy formats
    assert np.abs(actual.astype(int) - expected).max() <= tolerance


def test_alpha_is_turned_with_the_pixels(tmp_path: Path) -> None:
    pixels = np.full((H, W, 4), 65535)
    pixels[:, :2, 3] = 0
    exif = Image.Exif()
    exif[0x0112] = 6
    extra = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    (tmp_path / "a.png").write_bytes(png(pixels, 6, 16, extra))
    photo = read_image(tmp_path / "a.png")
    assert photo.valid.shape == (1, W, H)
    assert not photo.valid[0, :2].any()
    assert photo.valid[0, 2:].all()


@pytest.mark.parametrize("name", ["a.tif", "a.webp", "a.png", "a.mpo"])
def test_first_page_of_several(tmp_path: Path, name: str) -> None:
    pages = [Image.fromarray(np.full((H, W, 3), v, np.uint8)) for v in (40, 200)]
    pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
    assert abs(int(read_image(tmp_path / name).pixels.float().mean()) - 40) <= 1


def test_non_ascii_name(tmp_path: Path) -> None:
    path = tmp_path / "Müller ß 絵 1.png"
    path.write_bytes(png(RGB16, 2, 16))
    photo = read_image(str(path))
    assert photo.name == path.name
    np.testing.assert_array_equal(channels_last(photo), RGB16)


def test_the_process_settings_are_left_alone(tmp_path: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    log = getattr(cv2.utils, "logging", cv2)  # OpenCV 5, OpenCV 4
    level = log.getLogLevel()
    (tmp_path / "a.png").write_bytes(png(RGB16, 2, 16))
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    read_image(tmp_path / "a.png")
    with pytest.raises(ImageError):
        read_image(tmp_path / "b.png")
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    assert log.getLogLevel() == level
