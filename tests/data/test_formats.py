"""Photos of every kind are read as a person sees them, turned upright, with a word on what was chosen."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pillow_heif
import pytest
import tifffile
import torch
from PIL import Image

from diar_ops.data import ImageError, list_media, read_image, read_photos
from diar_ops.data._images import decoded
from tests.data.image_files import RGB8, RGB16, H, W, channels_last, chunk, png, smooth


def off(photo, pixels: np.ndarray) -> int:
    """The largest difference in levels."""
    return int(np.abs(channels_last(photo).astype(int) - pixels).max())


def encode(suffix: str, pixels: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    if suffix == ".heic":
        pillow_heif.register_heif_opener()
        try:
            Image.fromarray(pixels).save(file, "HEIF", quality=95, **options)
        finally:
            Image.SAVE.pop("HEIF")
            Image.OPEN.pop("HEIF")
            Image.ID.remove("HEIF")
        return file.getvalue()
    if suffix == ".jxl":
        return bytes(imagecodecs.jpegxl_encode(pixels, lossless=True))
    Image.fromarray(pixels).save(file, Image.registered_extensions()[suffix], **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("suffix", "levels"),
    [(".heic", 8), (".jxl", 0), (".avif", 8), (".jp2", 0), (".bmp", 0), (".ppm", 0), (".jfif", 6), (".gif", 40)],
)
@pytest.mark.parametrize("lie", [False, True])
def test_a_format_whatever_its_ending(tmp_path: Path, suffix: str, levels: int, lie: bool) -> None:
    path = tmp_path / f"a{'.jpg' if lie else suffix}"
    path.write_bytes(encode(suffix, smooth()))
    photo = read_image(path)
    assert photo.notes == ()
    assert off(photo, smooth()) <= levels


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif", ".heic", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation(tmp_path: Path, suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = decoded.upright(smooth(), {6: 8, 8: 6}.get(orientation, orientation))
    (tmp_path / f"a{suffix}").write_bytes(encode(suffix, np.ascontiguousarray(stored), exif=exif.tobytes()))
    photo = read_image(tmp_path / f"a{suffix}")
    assert photo.size == smooth().shape[:2]
    assert off(photo, smooth()) <= 10


def test_ten_bits_of_heic_and_sixteen_of_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.jxl").write_bytes(imagecodecs.jpegxl_encode(RGB16, lossless=True))
    (tmp_path / "a.jp2").write_bytes(imagecodecs.jpeg2k_encode(RGB16, level=0))
    for name in ("a.jxl", "a.jp2"):
        assert off(read_image(tmp_path / name), RGB16) == 0
    deep = smooth().astype(np.uint16) * 257
    file = pillow_heif.from_bytes("RGB;16", smooth().shape[1::-1], deep.tobytes())
    file.save(tmp_path / "a.heic", quality=-1)
    photo = read_image(tmp_path / "a.heic")
    assert photo.bit_depth == 16
    assert off(photo, deep) <= 16 * 257


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".tif", ".mpo"])
def test_of_several_pictures_the_first_is_taken_and_said(tmp_path: Path, suffix: str) -> None:
    other = Image.fromarray(255 - smooth())
    lossless = {"lossless": True} if suffix == ".webp" else {}
    Image.fromarray(smooth()).save(tmp_path / f"a{suffix}", save_all=True, append_images=[other], **lossless)
    photo = read_image(tmp_path / f"a{suffix}")
    assert photo.notes == ("several pictures are in the file; the first one is used",)
    assert off(photo, smooth()) <= 40


def test_cmyk_and_grey_jpegs_and_palettes(tmp_path: Path) -> None:
    image = Image.fromarray(smooth())
    image.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=98)
    image.convert("L").save(tmp_path / "grey.jpg", quality=98)
    image.quantize(256).save(tmp_path / "palette.png")
    assert off(read_image(tmp_path / "cmyk.jpg"), smooth()) <= 8
    assert off(read_image(tmp_path / "grey.jpg"), np.asarray(image.convert("L"))[..., None]) <= 4
    assert off(read_image(tmp_path / "palette.png"), np.asarray(image.quantize(256).convert("RGB"))) == 0


def write_dng(path: Path, level: int = 32768) -> None:
    """A raw photo of an even grey, seen through a colour filter by a camera that sees red as half as bright."""
    mosaic = np.full((64, 96), level, np.uint16)
    mosaic[::2, ::2] //= 2
    rational = [1, 2, 1, 1, 1, 1]
    matrix = [
        (round(v * 10000), 10000) for v in (3.2406, -1.5372, -0.4986, -0.9689, 1.8758, 0.0415, 0.0557, -0.2040, 1.0570)
    ]
    tifffile.imwrite(
        path,
        mosaic,
        photometric=32803,
        metadata=None,
        extratags=[
            (33421, 3, 2, (2, 2), True),
            (33422, 1, 4, bytes((0, 1, 1, 2)), True),
            (50706, 1, 4, bytes((1, 4, 0, 0)), True),
            (50708, 2, 0, "Test", True),
            (50717, 4, 1, 65535, True),
            (50721, 10, 9, sum(matrix, ()), True),
            (50728, 5, 3, rational, True),
            (50778, 3, 1, 21, True),
        ],
    )


@pytest.mark.parametrize("name", ["a.dng", "a.tif"])
def test_a_raw_photo_has_the_cameras_white(tmp_path: Path, name: str) -> None:
    write_dng(tmp_path / name)
    photo = read_image(tmp_path / name)
    assert photo.bit_depth == 16
    assert photo.size == (64, 96)
    middle = channels_last(photo)[16:-16, 16:-16].astype(float) / 65535
    np.testing.assert_allclose(middle, 0.735, atol=0.02)  # half the light, as sRGB writes it


def test_a_png_with_much_beside_its_pixels_is_sound(tmp_path: Path) -> None:
    xmp = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"<rdf:li>0123456789ABCDEF</rdf:li>" * 60000)
    profile = struct.pack(">I", 2_000_132) + bytes(12) + b"RGB XYZ " + bytes(12) + b"acsp" + RGB8.tobytes() * 1190
    for kind, body in ((b"iTXt", xmp), (b"iCCP", b"p\0\0" + zlib.compress(profile))):
        (tmp_path / "a.png").write_bytes(png(RGB8, 2, 8, chunk(kind, body)))
        assert off(read_image(tmp_path / "a.png"), RGB8) == 0


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_without_its_end(tmp_path: Path, progressive: bool) -> None:
    Image.fromarray(RGB8.repeat(4, 0).repeat(4, 1)).save(tmp_path / "a.jpg", quality=90, progressive=progressive)
    whole = read_image(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "b.jpg").write_bytes(data[:-2])
    if progressive:
        with pytest.raises(ImageError, match="truncated"):
            read_image(tmp_path / "b.jpg")
        return
    photo = read_image(tmp_path / "b.jpg")
    assert torch.equal(photo.pixels, whole.pixels)
    assert photo.notes == ("its end marker is missing, but every pixel is there",)
    (tmp_path / "b.jpg").write_bytes(data[:-60])
    with pytest.raises(ImageError, match="truncated"):
        read_image(tmp_path / "b.jpg")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".16.png", ".tif", ".webp", ".heic", ".jxl", ".jp2"])
def test_huge_pictures_are_shrunk_with_a_word(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoded, "FULL_PIXELS", 64 * 96 // 3)
    path = tmp_path / f"a{suffix}"
    if suffix == ".16.png":
        path.write_bytes(png(smooth().astype(np.uint16) * 257, 2, 16))
    else:
        path.write_bytes(encode(suffix, smooth()))
    photo = read_image(path)
    assert photo.size == (32, 48)
    assert photo.notes == ("96 x 64 pixels are more than fit into memory; it was shrunk by 2",)
    means = smooth().reshape(32, 2, 48, 2, 3).mean(axis=(1, 3)) * (257 if photo.bit_depth == 16 else 1)
    assert off(photo, means) <= 10
    monkeypatch.setattr(decoded, "MAX_PIXELS", 64 * 96 - 1)
    if suffix == ".jpg":  # is never held whole
        assert read_image(path).size == (32, 48)
        return
    with pytest.raises(ImageError, match=r"96 x 64 pixels, more than .*shrink it first"):
        read_image(path)


@pytest.mark.parametrize(
    ("suffix", "module", "distribution"),
    [
        (".heic", "pillow_heif", "pillow-heif"),
        (".jxl", "pillow_jxl", "pillow-jxl-plugin"),
        (".dng", "rawpy", "rawpy"),
        (".mp4", "av", "PyAV"),
        (".tif", "tifffile", "tifffile"),
        (".jp2", "imagecodecs", "imagecodecs"),
    ],
)
def test_where_a_package_is_missing_the_sentence_names_it(
    tmp_path: Path, suffix: str, module: str, distribution: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".dng":
        write_dng(path)
    elif suffix == ".mp4":
        path.write_bytes(b"\0\0\0\x14ftypisom" + bytes(8))
    elif suffix == ".tif":
        tifffile.imwrite(path, RGB16, photometric="rgb")
    elif suffix == ".jp2":
        path.write_bytes(imagecodecs.jpeg2k_encode(RGB16, level=0))
    else:
        path.write_bytes(encode(suffix, smooth()))
    monkeypatch.setitem(sys.modules, module, None)
    assert list_media(tmp_path) == [path]
    with pytest.raises(ImageError) as caught:
        read_photos(tmp_path)
    assert distribution in str(caught.value)
    assert "pip install 'diar-ops[photos]'" in str(caught.value)
    Image.fromarray(RGB8).save(tmp_path / "b.png")
    loaded, skipped = read_photos(tmp_path)
    assert [photo.size for photo in loaded] == [(H, W)]
    assert len(skipped) == 1
