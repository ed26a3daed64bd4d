"""Decode TIFF files of any layout: grey and RGB with tifffile, the 8-bit kinds beyond them with Pillow."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from diar_ops._errors import ImageError
from diar_ops.data._images import decoded
from diar_ops.data._images.decoded import (
    Decoded,
    package,
    shrink_array,
    shrink_factor,
    shrunk_note,
    split_channels,
    to_unsigned,
    upright,
)
from diar_ops.data._images.pillow import SEVERAL, decode_with_pillow
from diar_ops.data._images.raw import decode_raw

_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB = 0, 1, 2
_MOSAICS = (32803, 34892)  # colour filter array, and linear raw
_PREMULTIPLIED, _STRAIGHT = 1, 2  # alpha; any other extra sample is something else, such as infrared


def decode_tiff(path: Path, data: bytes) -> Decoded:
    """Decode the first page of a TIFF that is not the reduced copy of another; raw photos as such.

    Args:
        path: The file, for messages.
        data: Its bytes.

    Raises:
        ImageError: Its layout is one that cannot be read.
    """
    try:
        tifffile = package(path, "a TIFF picture", "tifffile", "tifffile")
    except ImageError:
        if _deep(data):
            raise
        return decode_with_pillow(path, data)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        if any(page.photometric in _MOSAICS for page in _all_pages(file)):
            return decode_raw(path, data)
        whole = [number for number, page in enumerate(file.pages) if not page.is_reduced]
        number = whole[0] if whole else 0
        page = file.pages[number]
        notes: tuple[str, ...] = (SEVERAL,) if len(whole) > 1 else ()
        if page.photometric not in (_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB) or page.bitspersample == 1:
            if page.bitspersample > 8:
                raise ImageError(
                    f"{path} is a {page.bitspersample}-bit TIFF that is neither grey nor RGB; save it as RGB"
                )
            plain = decode_with_pillow(path, data, page=number)
            return plain._replace(notes=notes + plain.notes)
        factor = shrink_factor(path, page.imagewidth, page.imagelength)
        pixels, alpha = _pixels(path, page, len(data))
        orientation = page.tags.valueof(274, 1)
        pixels = upright(shrink_array(pixels, factor), orientation)
        alpha = None if alpha is None else upright(shrink_array(alpha, factor), orientation)
        notes += shrunk_note(page.imagewidth, page.imagelength, factor)
        return Decoded(pixels, alpha, page.iccprofile, _exif(data), notes)


def _all_pages(file: Any) -> Iterator[Any]:
    """Yield the pages of a file, and those that hang on them: a raw photo hides there behind its thumbnail."""
    for page in file.pages:
        yield page
        yield from page.pages or ()


def _pixels(path: Path, page: Any, length: int) -> tuple[Any, Any]:
    """Return pixels (H, W, 3) and alpha (H, W) or None as the page stores them."""
    ends = [offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)]
    if not ends or max(ends) > length or 0 in page.databytecounts:
        raise ImageError(f"{path} is truncated")
    if page.tilewidth * page.tilelength > decoded.MAX_PIXELS or page.size > 8 * decoded.MAX_PIXELS:
        raise ImageError(f"{path} says that it is made of more than can be: it is damaged")
    if page.imagedepth > 1:
        raise ImageError(f"{path} is a volume, not a picture")
    array = page.asarray()
    if page.planarconfig == 2 and page.samplesperpixel > 1:
        array = array.transpose(1, 2, 0)
    array = to_unsigned(path, array, page.bitspersample)
    top = np.iinfo(array.dtype).max
    colours = 3 if page.photometric == _RGB else 1
    kinds = [int(kind) for kind in page.extrasamples]
    extra = next((k for k, kind in enumerate(kinds) if kind in (_PREMULTIPLIED, _STRAIGHT)), None)
    alpha = None if extra is None else array[..., colours + extra]
    colour, _ = split_channels(path, array[..., :colours] if array.ndim == 3 else array)
    if page.photometric == _MIN_IS_WHITE:
        colour = top - colour
    if alpha is not None and kinds[extra or 0] == _PREMULTIPLIED:
        straight = colour * (float(top) / np.maximum(alpha, 1, dtype=np.float32))[..., None]
        colour = np.minimum(straight + 0.5, top).astype(colour.dtype)
    return colour, alpha


def _deep(data: bytes) -> bool:
    """Return whether Pillow would cut the pixels of a TIFF down, or misread them."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=("TIFF",)) as image:
            tags: Any = image.tag_v2  # type: ignore[attr-defined]
            return max(tags.get(258, (1,))) > 8 or bool(tags.get(330)) or tags.get(254, 0) & 1 == 1
    except Exception:  # whatever the reason: Pillow does not read it
        return True


def _exif(data: bytes) -> bytes | None:
    """Return what the camera wrote, if Pillow understands the file."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=("TIFF",)) as image:
            return image.getexif().tobytes()
    except Exception:  # metadata are no reason to lose the photo
        return None
