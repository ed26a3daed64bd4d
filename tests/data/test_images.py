"""Every kind of photo file is read as a person sees it; every bad file gets one sentence."""

from __future__ import annotations

import io
import json
import os
import struct
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageFile

from diar_ops import DtypeError, ImageError
from diar_ops._pixels import image_to_float
from diar_ops.data import images as images_module
from diar_ops.data import list_images, read_image
from tests.sequences import write_dataset, write_sequence

RNG = np.random.default_rng(7)
H, W = 20, 28
RGB8 = RNG.integers(0, 256, (H, W, 3), dtype=np.uint8)
RGB16 = RNG.integers(0, 65536, (H, W, 3), dtype=np.uint16)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def smooth() -> np.ndarray:
    """A gentle gradient, which lossy formats keep within a few levels."""
    y, x = np.mgrid[0:64, 0:96]
    return np.stack((60 + x, 200 - y, 90 + (x + y) // 2), axis=-1).astype(np.uint8)


def channels_last(photo) -> np.ndarray:
    return photo.pixels.numpy().transpose(1, 2, 0)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(pixels: np.ndarray, colour: int, depth: int, extra: bytes = b"") -> bytes:
    """A PNG written by hand: colour types and chunks that no library here writes."""
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], depth, colour, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(f">u{depth // 8}").tobytes() for row in pixels)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


# --- what is read -----------------------------------------------------------------------------


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
    cv2.imwrite(
        str(tmp_path / "a.tif"),
        np.dstack((colour[..., ::-1], alpha)),
        [cv2.IMWRITE_TIFF_COMPRESSION, 1],
    )
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
    np.testing.assert_array_equal(
        read_image(tmp_path / "a.tif").pixels[0].numpy(), (RGB8[..., 0] > 127) * 255
    )


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


# --- what is refused --------------------------------------------------------------------------


def refused(path: Path) -> str:
    """The message of the refusal: one line that names the file."""
    with pytest.raises(ImageError) as caught:
        read_image(path)
    message = str(caught.value)
    assert path.name in message
    assert "\n" not in message
    assert len(message) < 300 + len(str(path))
    return message


def test_text_file_named_jpg(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("this is no photo, it only says so\n" * 20)
    assert "not a JPEG, PNG, TIFF or WebP image" in refused(tmp_path / "a.jpg")


def test_empty_missing_folder(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    assert refused(tmp_path / "a.jpg").endswith("is empty")
    assert refused(tmp_path / "b.jpg").endswith("does not exist")
    (tmp_path / "c.jpg").mkdir()
    assert "is a directory" in refused(tmp_path / "c.jpg")


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated: root may read everything."""

    def denied(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    assert refused(tmp_path / "a.jpg").endswith("permission denied")


@pytest.mark.parametrize("kept", [0.05, 0.3, 0.6, 0.95])
@pytest.mark.parametrize(
    "name",
    ["base.jpg", "progressive.jpg", "a.png", "a.webp", "a.tif", "16.png", "16.tif", "lzw.tif"],
)
def test_truncated(tmp_path: Path, name: str, kept: float) -> None:
    path = tmp_path / name
    noise = RNG.integers(0, 256, (96, 128, 3), dtype=np.uint8)
    if name.startswith("16") or name == "lzw.tif":
        options = [cv2.IMWRITE_TIFF_COMPRESSION, 5 if "lzw" in name else 1]
        cv2.imwrite(str(path), noise.astype(np.uint16) * 257, options if ".tif" in name else [])
    else:
        Image.fromarray(noise).save(path, progressive=name.startswith("progressive"))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        message = refused(path)
    assert "truncated" in message or "not a JPEG" in message


def test_truncated_even_if_the_process_is_lenient(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(RGB8.repeat(8, 0)).save(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[: len(data) // 2])
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert "truncated" in refused(tmp_path / "a.jpg")


@pytest.mark.parametrize("depth", [8, 16])
def test_flipped_bytes_in_a_png(tmp_path: Path, depth: int) -> None:
    data = bytearray(png(RGB16 if depth == 16 else RGB8, 2, depth))
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "a.png").write_bytes(data)
    assert "damaged" in refused(tmp_path / "a.png")


def test_bomb(tmp_path: Path) -> None:
    """A header that promises 900 megapixels; Pillow's own limit and warning must not show."""
    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0"))
    (tmp_path / "a.png").write_bytes(data)
    message = refused(tmp_path / "a.png")
    assert "30000 x 30000" in message
    assert "300 megapixels" in message


def test_above_pillows_limit_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(RGB8).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert read_image(tmp_path / "a.png").size == (H, W)
    monkeypatch.setattr(images_module, "MAX_PIXELS", 10)
    assert "megapixels allowed" in refused(tmp_path / "a.png")


def test_float_and_32_bit_tiff(tmp_path: Path) -> None:
    Image.fromarray(RGB8[..., 0].astype(np.float32)).save(tmp_path / "a.tif")
    assert "32-bit floating point" in refused(tmp_path / "a.tif")
    cv2.imwrite(str(tmp_path / "b.tif"), RGB8.astype(np.float32))
    refused(tmp_path / "b.tif")
    Image.fromarray(RGB8[..., 0].astype(np.int32)).save(tmp_path / "c.tif")
    assert "32-bit signed" in refused(tmp_path / "c.tif")


def test_heic_names_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x24ftypheic" + b"\0" * 64)
    assert "save it as JPEG" in refused(tmp_path / "a.jpg")


def test_lab_tiff(tmp_path: Path) -> None:
    Image.new("LAB", (8, 8)).save(tmp_path / "a.tif")
    assert "LAB" in refused(tmp_path / "a.tif")


# --- image_to_float ---------------------------------------------------------------------------


def test_image_to_float_spans_zero_to_one() -> None:
    eight = image_to_float(torch.tensor([0, 51, 255], dtype=torch.uint8))
    sixteen = image_to_float(torch.tensor([0, 13107, 65535], dtype=torch.uint16))
    for actual in (eight, sixteen):
        assert actual.dtype == torch.float32
        assert actual.tolist() == torch.tensor([0, 0.2, 1.0]).tolist()
    assert image_to_float(torch.tensor(255, dtype=torch.uint8)) == 1  # any shape, a scalar too


@pytest.mark.parametrize("bad", [torch.zeros(3), torch.zeros(3, dtype=torch.int32), [1, 2]])
def test_image_to_float_refuses_others(bad: object) -> None:
    with pytest.raises(DtypeError, match="image_to_float"):
        image_to_float(bad)


# --- list_images ------------------------------------------------------------------------------


def test_list_counts_like_a_person(tmp_path: Path) -> None:
    order = ["01.tiff", "9.png", "a.jpeg", "b.webp", "IMG1.tif", "img2.JPG", "img10.png", "²x.png"]
    for name in [*reversed(order), ".hidden.png", "notes.txt", "._a.jpg"]:
        (tmp_path / name).touch()
    (tmp_path / "sub.png").mkdir()
    listed = [path.name for path in list_images(tmp_path)]
    assert listed == order


def test_list_takes_files_as_given_and_once(tmp_path: Path) -> None:
    for name in ["b.png", "a.png", "odd.dat"]:
        (tmp_path / name).touch()
    listed = list_images([tmp_path / "odd.dat", str(tmp_path / "b.png"), tmp_path])
    assert [path.name for path in listed] == ["odd.dat", "b.png", "a.png"]
    assert list_images(str(tmp_path / "a.png")) == [tmp_path / "a.png"]


def test_list_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageError, match=r"no photos in the folder .*looked for \.jpg"):
        list_images(tmp_path)
    with pytest.raises(ImageError, match=r"missing does not exist$"):
        list_images(tmp_path / "missing")
    with pytest.raises(ImageError, match="no folder and no file"):
        list_images([])

    def denied(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", denied)
    with pytest.raises(ImageError, match="permission denied"):
        list_images(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_list_survives_a_dangling_link(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "b.png").symlink_to(tmp_path / "gone.png")
    assert [path.name for path in list_images(tmp_path)] == ["a.png"]


def test_the_folder_of_a_rendered_sequence_gives_its_frames(tmp_path: Path) -> None:
    document = write_sequence(tmp_path / "a", frames=3)
    (tmp_path / "a" / "sheet.png").write_bytes(b"")
    frames = [tmp_path / "a" / f"{n:02d}.png" for n in range(3)]
    assert list_images(tmp_path / "a") == frames
    frames[1].unlink()
    assert list_images(tmp_path / "a") == frames, "whoever reads them says that it is missing"
    path = tmp_path / "a" / "sequence.json"
    path.write_text(json.dumps({**document, "version": 2}))
    with pytest.raises(ImageError, match="is version 2 of the format"):
        list_images(tmp_path / "a")
    path.write_text(json.dumps(document)[:400])
    with pytest.raises(ImageError, match="is not JSON"):
        list_images(tmp_path / "a")
    path.write_text('{"of": "another program"}')
    names = [file.name for file in list_images(tmp_path / "a")]
    assert names == ["00.png", "02.png", "label.png", "sheet.png"]


def test_the_folder_of_a_whole_data_set_is_refused(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "set", sequences=4, frames=1)
    sentence = (
        f"{folder} is a whole data set, not one sequence; give one of its sub-folders "
        f"(000000, 000001, 000002, ...)"
    )
    for name in (".hidden", "dataset.json", "contact_sheet.jpg"):
        (folder / name).touch()
        with pytest.raises(ImageError) as caught:
            list_images(folder)
        assert str(caught.value) == sentence
    (folder / "dataset.json").unlink()
    photos = [folder / "contact_sheet.jpg"]
    assert list_images(folder) == photos, "photos beside somebody's sequences are photos"
