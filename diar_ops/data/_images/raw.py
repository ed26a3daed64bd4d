"""Develop raw photos with LibRaw."""

from __future__ import annotations

import io
from pathlib import Path

from diar_ops._errors import ImageError
from diar_ops.data._images.decoded import Decoded, package, shrink_array, shrink_factor, shrunk_note


def decode_raw(path: Path, data: bytes) -> Decoded:
    """Develop a raw photo: the camera's white balance, no brightening, sRGB of 16 bits.

    Photos of one exposure keep one brightness, and no highlight is cut for the sake of the rest.

    Args:
        path: The file, for messages.
        data: Its bytes.
    """
    rawpy = package(path, "a raw photo", "rawpy", "rawpy")
    try:
        raw = rawpy.imread(io.BytesIO(data))
    except rawpy.LibRawFileUnsupportedError as error:
        raise ImageError(f"{path} is a raw photo of a camera that is not known here; save it as TIFF") from error
    with raw:
        width, height = raw.sizes.width, raw.sizes.height
        factor = shrink_factor(path, width, height)
        halved = factor > 1
        factor += halved and factor % 2  # to an even number
        pixels = raw.postprocess(
            use_camera_wb=True,
            no_auto_bright=True,
            output_bps=16,
            output_color=rawpy.ColorSpace.sRGB,
            gamma=(2.4, 12.92),  # the curve of sRGB
            half_size=halved,
        )
    return Decoded(shrink_array(pixels, factor // (1 + halved)), notes=shrunk_note(width, height, factor))
