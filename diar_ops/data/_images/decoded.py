"""What decoders return, and what they share: sizes, bit depths, channels, missing packages."""

from __future__ import annotations

import importlib
from math import ceil, sqrt
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from diar_ops._errors import ImageError

#: A larger picture is taken for a decompression bomb.
MAX_PIXELS = 300_000_000
#: A larger picture is shrunk while it is read, so that it fits into memory.
FULL_PIXELS = 150_000_000


class Decoded(NamedTuple):
    r"""A decoded picture, upright.

    Attributes:
        pixels: (H, W, 3) uint8 or uint16 in R, G, B.
        alpha: (H, W) of the same dtype, or None.
        icc_profile: Of ``pixels``; None for sRGB.
        exif: What the camera wrote, as in a JPEG, with ``Exif\0\0`` before it or without.
        notes: What is worth saying, each to stand behind the file's name and a colon.
    """

    pixels: Any
    alpha: Any = None
    icc_profile: bytes | None = None
    exif: bytes | None = None
    notes: tuple[str, ...] = ()


def package(path: Path, kind: str, module: str, distribution: str) -> Any:
    """Import a package that only some photos need.

    Raises:
        ImageError: It is not installed; the sentence says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImageError(
            f"{path} is {kind}, which needs {distribution} to be read: pip install 'diar-ops[photos]'"
        ) from error


def shrink_factor(path: Path, width: int, height: int) -> int:
    """Return by how much a picture is to be shrunk to fit into memory; 1 for all but huge ones.

    Raises:
        ImageError: It has more than :data:`MAX_PIXELS`.
    """
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{path} has {width} x {height} pixels, more than the {MAX_PIXELS // 10**6} megapixels allowed; "
            f"shrink it first"
        )
    return ceil(sqrt(width * height / FULL_PIXELS))


def shrink_array(pixels: Any, factor: int) -> Any:
    """Return (H, W, ...) reduced by a whole factor, each pixel the mean of those that it covers."""
    if factor == 1:
        return pixels
    import cv2

    height, width = (max(1, n // factor) for n in pixels.shape[:2])
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)


def shrunk_note(width: int, height: int, factor: int) -> tuple[str, ...]:
    """Return what is said of a picture of (width, height) that was shrunk by ``factor``."""
    if factor == 1:
        return ()
    return (f"{width} x {height} pixels are more than fit into memory; it was shrunk by {factor}",)


def to_unsigned(path: Path, pixels: Any, bits: int) -> Any:
    """Return pixels of any number type as uint8 or uint16 at full scale.

    Args:
        path: The file, for messages.
        pixels: Unsigned integers, or floating-point numbers in [0, 1].
        bits: How many bits of the integers are used.

    Raises:
        ImageError: It cannot be known what the numbers mean.
    """
    if pixels.dtype.kind == "f":
        low, high = float(pixels.min()), float(pixels.max())
        if not (low >= -1e-3 and high <= 1 + 1e-3):
            raise ImageError(
                f"{path} holds floating point pixels from {low:.3g} to {high:.3g}, of which only 0 to 1 can be read; "
                f"save it with 8 or 16 unsigned bits"
            )
        return (pixels.clip(0, 1).astype(np.float32) * 65535 + 0.5).astype(np.uint16)
    if pixels.dtype.kind != "u" or bits > 16:
        kind = "unsigned" if pixels.dtype.kind == "u" else "signed"
        raise ImageError(
            f"{path} holds {bits}-bit {kind} pixels, which are not supported; save it with 8 or 16 unsigned bits"
        )
    if bits in (8, 16):
        return pixels
    scale = (255 if bits < 8 else 65535) / (2**bits - 1)
    return (pixels * np.float32(scale) + 0.5).astype(np.uint8 if bits < 8 else np.uint16)


def split_channels(path: Path, pixels: Any) -> tuple[Any, Any]:
    """Split grey, RGB, and either with alpha, (H, W[, 1 to 4]), into (H, W, 3) and alpha (H, W) or None."""
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    channels = pixels.shape[-1]
    if pixels.ndim != 3 or channels > 4:
        raise ImageError(f"{path} holds an array of {' x '.join(map(str, pixels.shape))}, which is no picture")
    alpha = pixels[..., -1] if channels in (2, 4) else None
    colour = pixels[..., :3] if channels >= 3 else np.repeat(pixels[..., :1], 3, axis=-1)
    return colour, alpha


def upright(pixels: Any, orientation: int) -> Any:
    """Apply an EXIF orientation (1 to 8; any other value means 1) to an (H, W, ...) array."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
