"""Pixels to write into image files, and PNG files that no library here writes."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from PIL import ImageCms

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
