"""Decode 16-bit PNG and TIFF files, which Pillow would cut down to 8 bits."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diar_ops._errors import ImageError

if TYPE_CHECKING:
    from PIL import Image

_BITS, _PHOTOMETRIC, _ORIENTATION, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 258, 262, 274, 338, 339
# (offsets, byte counts) of the pieces of a TIFF's picture: strips, tiles
_PIECES = ((273, 279), (324, 325))


def has_sixteen_bits(path: Path, image: Image.Image, data: bytes) -> bool:
    """Return whether the file holds 16-bit integers; False for up to 8 bits.

    Raises:
        ImageError: The pixels are of a depth or number type that no photo has.
    """
    if image.format == "PNG":
        return data[24] == 16  # the bit depth in IHDR, always the first chunk
    if image.format != "TIFF":
        return False
    tags: Any = image.tag_v2  # type: ignore[attr-defined]
    bits, formats = set(tags.get(_BITS, (1,))), set(tags.get(_SAMPLE_FORMAT, (1,)))
    if formats != {1} or not (bits == {16} or max(bits) <= 8):
        kind = {2: "signed", 3: "floating point"}.get(max(formats), "unsigned")
        raise ImageError(
            f"{path} holds {max(bits)}-bit {kind} pixels, which are not supported; save it with 8 or 16 unsigned bits"
        )
    return bits == {16}


def decode_sixteen(path: Path, image: Image.Image, data: bytes) -> tuple[Any, Any]:
    """Decode the first page, as stored, without applying its orientation.

    Args:
        path: The file, for messages.
        image: The file's header as Pillow read it.
        data: The bytes of the file.

    Returns:
        Pixels (H, W, 3) uint16 in R, G, B, and alpha (H, W) uint16 or None.
    """
    import cv2

    premultiplied = False
    if image.format == "TIFF":
        tags: Any = image.tag_v2  # type: ignore[attr-defined]
        if tags.get(_PHOTOMETRIC) not in (1, 2):
            raise ImageError(f"{path} is a 16-bit TIFF that is neither grey nor RGB; save it as RGB")
        # OpenCV answers a TIFF that ends early with black rows instead of an error.
        ends = [
            offset + count
            for offsets, counts in _PIECES
            for offset, count in zip(tags.get(offsets, ()), tags.get(counts, ()), strict=False)
        ]
        if not ends or max(ends) > len(data):
            raise ImageError(f"{path} is truncated")
        premultiplied = 1 in tags.get(_EXTRA_SAMPLES, ())
        data = _without_orientation(data)
    else:
        from PIL import Image

        # OpenCV answers a PNG that ends early with black rows; Pillow checks every chunk's sum.
        with Image.open(io.BytesIO(data), formats=("PNG",)) as checked:
            checked.verify()
    pixels: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16:
        raise ImageError(f"{path} is truncated or damaged")
    alpha = None
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        pixels, alpha = pixels[..., :-1], pixels[..., -1]
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        grey = pixels.reshape(pixels.shape[:2])
        return np.stack((grey, grey, grey), axis=-1), alpha
    pixels = pixels[..., ::-1]
    if premultiplied and alpha is not None:
        straight = pixels * (65535.0 / np.maximum(alpha, 1, dtype=np.float32))[..., None]
        pixels = np.minimum(straight + 0.5, 65535.0).astype(np.uint16)
    return pixels, alpha


def upright(pixels: Any, orientation: int) -> Any:
    """Apply an EXIF orientation (1 to 8; any other value means 1) to an (H, W, ...) array."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _without_orientation(data: bytes) -> bytes:
    """Return the TIFF with orientation 1, since OpenCV's decoder would apply it and we do later."""
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    (start,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, start)
    first, step, value = (start + 8, 20, 12) if big else (start + 2, 12, 8)
    for entry in range(first, first + count * step, step):
        if struct.unpack_from(order + "H", data, entry)[0] == _ORIENTATION:
            patched = bytearray(data)
            struct.pack_into(order + "H", patched, entry + value, 1)
            return bytes(patched)
    return data
