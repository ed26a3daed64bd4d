"""Decode JPEG XL pictures with libjxl."""

from __future__ import annotations

import io
from pathlib import Path

from diar_ops.data._images.decoded import (
    Decoded,
    package,
    shrink_array,
    shrink_factor,
    shrunk_note,
    split_channels,
    to_unsigned,
)
from diar_ops.data._images.pillow import SEVERAL


def decode_jxl(path: Path, data: bytes) -> Decoded:
    """Decode the first frame of the file in its own depth; libjxl turns it upright.

    The orientation in its EXIF data does not count, as the format has it.

    Args:
        path: The file, for messages.
        data: Its bytes.
    """
    from PIL import Image

    package(path, "a JPEG XL picture", "pillow_jxl", "pillow-jxl-plugin")
    imagecodecs = package(path, "a JPEG XL picture", "imagecodecs", "imagecodecs")
    with Image.open(io.BytesIO(data), formats=("JXL",)) as image:  # header, profile and metadata
        width, height = image.size
        factor = shrink_factor(path, width, height)
        notes = shrunk_note(width, height, factor)
        if getattr(image, "n_frames", 1) > 1:
            notes += (SEVERAL,)
        icc_profile, exif = image.info.get("icc_profile"), image.info.get("exif")
    pixels = imagecodecs.jpegxl_decode(data, index=0)
    pixels = to_unsigned(path, pixels, 8 * pixels.dtype.itemsize)
    return Decoded(*split_channels(path, shrink_array(pixels, factor)), icc_profile, exif, notes)
