"""Load a JPEG, even one whose end marker alone is missing."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

# What stands for the missing end: bytes that decode to different pixels where pixels are missing.
_ENDS = (b"\0" * 4096 + b"\xff\xd9", b"\xa5\x5a\xc3" * 1366 + b"\xff\xd9")


def load_jpeg(image: Any, data: bytes) -> tuple[Any, tuple[str, ...]]:
    """Load the pixels of an opened JPEG.

    Args:
        image: As Pillow opened it, perhaps to be shrunk while it is decoded.
        data: The bytes of the file.

    Returns:
        The loaded image, and what is to be said of it.

    Raises:
        OSError: Pixels are missing.
    """
    from PIL import Image

    try:
        image.load()
    except OSError:
        if image.info.get("progressive") or not _one_scan(data, image.layers):
            raise
        # Where every pixel is there, what follows does not matter.
        ended = [Image.open(io.BytesIO(data + end), formats=("JPEG",)) for end in _ENDS]
        for other in ended:
            other.draft(None, image.size)
            other.load()
        if not np.array_equal(np.asarray(ended[0]), np.asarray(ended[1])):
            raise
        return ended[0], ("its end marker is missing, but every pixel is there",)
    return image, ()


def _one_scan(data: bytes, layers: int) -> bool:
    """Return whether the last scan of the file holds all colour components at once."""
    start = data.rfind(b"\xff\xda")
    return start >= 0 and data[start + 4 : start + 5] == bytes([layers])
