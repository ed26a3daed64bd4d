"""Every bad image file gets one sentence that names it."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFile

from diar_ops.data import ImageError, read_image
from diar_ops.data._images import decoded
from tests.data.image_files import RGB8, RGB16, RNG, H, W, chunk, png


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
    assert "no picture of a known format" in refused(tmp_path / "a.jpg")


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

    (tmp_path / "a.jpg").touch()
    monkeypatch.setattr(Path, "read_bytes", denied)
    assert refused(tmp_path / "a.jpg").endswith("permission denied")


@pytest.mark.parametrize("kept", [0.05, 0.3, 0.6, 0.95])
@pytest.mark.parametrize(
    "name", ["base.jpg", "progressive.jpg", "a.png", "a.webp", "a.tif", "16.png", "16.tif", "lzw.tif"]
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


def test_truncated_even_if_the_process_is_lenient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    monkeypatch.setattr(decoded, "MAX_PIXELS", 10)
    assert "megapixels allowed" in refused(tmp_path / "a.png")


def test_float_and_32_bit_tiff(tmp_path: Path) -> None:
    """Numbers of which nobody knows what white is are refused."""
    Image.fromarray(RGB8[..., 0].astype(np.float32)).save(tmp_path / "a.tif")
    assert "floating point pixels from" in refused(tmp_path / "a.tif")
    cv2.imwrite(str(tmp_path / "b.tif"), RGB8.astype(np.float32))
    assert "floating point pixels from" in refused(tmp_path / "b.tif")
    Image.fromarray(RGB8[..., 0].astype(np.int32)).save(tmp_path / "c.tif")
    assert "32-bit signed" in refused(tmp_path / "c.tif")


def test_broken_heic(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x24ftypheic" + b"\0" * 64)
    assert "truncated or damaged" in refused(tmp_path / "a.jpg")


def test_lab_tiff(tmp_path: Path) -> None:
    Image.new("LAB", (8, 8)).save(tmp_path / "a.tif")
    assert "LAB" in refused(tmp_path / "a.tif")
