"""Decode JPEG 2000 pictures: of 8 bits with Pillow, deeper ones with OpenJPEG itself."""

from __future__ import annotations

from pathlib import Path

from diar_ops._errors import ImageError
from diar_ops.data._images.decoded import (
    Decoded,
    package,
    shrink_array,
    shrink_factor,
    shrunk_note,
    split_channels,
    to_unsigned,
)
from diar_ops.data._images.pillow import decode_with_pillow


def decode_jp2(path: Path, data: bytes) -> Decoded:
    """Decode a JPEG 2000 picture in its own depth.

    Args:
        path: The file, for messages.
        data: Its bytes.
    """
    start = data.find(b"\xff\x4f\xff\x51")  # of the code stream, and of its size
    if start < 0 or len(data) < start + 43:
        raise ImageError(f"{path} is truncated")
    bits = (data[start + 42] & 127) + 1  # of the first component
    if bits <= 8:
        return decode_with_pillow(path, data)
    imagecodecs = package(path, f"a JPEG 2000 picture of {bits} bits", "imagecodecs", "imagecodecs")
    width, height = (
        int.from_bytes(data[start + at : start + at + 4], "big")
        - int.from_bytes(data[start + at + 8 : start + at + 12], "big")
        for at in (8, 12)
    )
    factor = shrink_factor(path, width, height)
    pixels = to_unsigned(path, imagecodecs.jpeg2k_decode(data), bits)
    return Decoded(*split_channels(path, shrink_array(pixels, factor)), notes=shrunk_note(width, height, factor))
