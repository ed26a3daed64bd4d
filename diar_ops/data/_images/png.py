"""Decode PNG files of 16 bits, which Pillow would cut down to 8 bits."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from diar_ops._errors import ImageError
from diar_ops.data._images.decoded import package, shrink_array, split_channels, upright


def decode_sixteen(path: Path, data: bytes, factor: int, orientation: int) -> tuple[Any, Any]:
    """Decode a PNG of 16 bits.

    Args:
        path: The file, for messages.
        data: The bytes of the file.
        factor: By how much it is shrunk.
        orientation: EXIF orientation to apply.

    Returns:
        Pixels (H, W, 3) uint16 in R, G, B, and alpha (H, W) uint16 or None.
    """
    import cv2
    from PIL import Image

    # OpenCV answers a PNG that ends early with black rows; Pillow checks every chunk's sum.
    with Image.open(io.BytesIO(data), formats=("PNG",)) as checked:
        checked.verify()
    if factor > 1:  # OpenCV takes 1.3 GB more for 289 megapixels
        imagecodecs = package(path, "a PNG of 16 bits and very many pixels", "imagecodecs", "imagecodecs")
        pixels: Any = imagecodecs.png_decode(data)
        return split_channels(path, upright(shrink_array(pixels, factor), orientation))
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16:
        raise ImageError(f"{path} is truncated or damaged")
    pixels, alpha = split_channels(path, upright(pixels, orientation))
    return pixels[..., ::-1], alpha
