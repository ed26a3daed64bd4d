"""Read photos: native bit depth, upright, RGB; one clear sentence for what is no photo."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diar_ops._errors import ImageError
from diar_ops.data._images.decoded import Decoded
from diar_ops.data._images.heif import decode_heif
from diar_ops.data._images.jp2 import decode_jp2
from diar_ops.data._images.jxl import decode_jxl
from diar_ops.data._images.kinds import HEAD, Kind, kind_of
from diar_ops.data._images.pillow import decode_with_pillow
from diar_ops.data._images.raw import decode_raw
from diar_ops.data._images.tiff import decode_tiff
from diar_ops.data._listing import read_error
from diar_ops.data.profiles import profile_of

#: A larger file is not read: no photo has so many bytes.
MAX_BYTES = 2 * 10**9

_DECODERS = {
    "pillow": decode_with_pillow,
    "tiff": decode_tiff,
    "raw": decode_raw,
    "heif": decode_heif,
    "jxl": decode_jxl,
    "jp2": decode_jp2,
}
# Pillow's limits, warning filters and OpenCV's log level belong to the whole process.
_LOCK = threading.Lock()


@dataclass(frozen=True, eq=False)
class Photo:
    """One photo as loaded: upright, in the bit depth of its file.

    Attributes:
        pixels: (3, H, W) uint8 or uint16, R, G, B; a grey photo holds the same plane three times.
        name: File name without its folder; of a frame of a video, with its number.
        valid: (1, H, W) bool, False where the file's alpha says transparent (below one half);
            ``None`` if every pixel is opaque.
        icc_profile: The colour profile of the pixels; ``None`` for sRGB.
        path: The file.
        exif: What the camera wrote into the file, as EXIF has it.
        notes: What is worth saying of it, each to stand behind its name and a colon.
        number: Its place among all that :func:`read_photos` was given, what was skipped counted.
    """

    pixels: Tensor
    name: str
    valid: Tensor | None = None
    icc_profile: bytes | None = None
    path: Path | None = None
    exif: bytes | None = None
    notes: tuple[str, ...] = ()
    number: int | None = None

    @property
    def bit_depth(self) -> int:
        """Bits per channel of the file, 8 or 16."""
        return 8 if self.pixels.dtype == torch.uint8 else 16

    @property
    def size(self) -> tuple[int, int]:
        """Return (height, width) in pixels, after the EXIF orientation."""
        return self.pixels.shape[-2], self.pixels.shape[-1]


def read_image(path: str | PathLike[str]) -> Photo:
    """Read one photo of any kind: JPEG, PNG, TIFF, WebP, GIF, BMP, AVIF, HEIC, JPEG XL, raw, ...

    What a file is, its first bytes say, not its ending. The EXIF orientation is applied. Of a file
    with several pages or frames the first is read, and that is noted. Grey and CMYK photos are
    converted to sRGB through their profile where they carry one. A picture of more than 150
    megapixels is shrunk by a whole number while it is read, a JPEG however large it is.

    Args:
        path: The file.

    Returns:
        The :class:`Photo`, in the bit depth of the file.

    Raises:
        ImageError: The file is missing, unreadable, empty, no image, truncated, damaged, of more
            than 300 megapixels, or in a depth or colour space that is not supported; or a package
            is not installed that it needs.
    """
    path = Path(path)
    data = _bytes_of(path)
    kind = kind_of(data[:HEAD], path.suffix)
    _refuse_unreadable(path, kind, data)
    assert kind is not None
    try:
        with _LOCK, _quiet_strict_decoders():
            decoded = _DECODERS[kind.reader](path, data)
            icc_profile, said = profile_of(decoded.icc_profile, decoded.exif)
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        # Decoders answer damaged bytes with anything from OSError to SyntaxError.
        raise ImageError(f"{path} is truncated or damaged ({_sentence(error)})") from error
    return Photo(
        torch.from_numpy(np.array(decoded.pixels.transpose(2, 0, 1), order="C")),
        path.name,
        _valid(decoded),
        icc_profile,
        path,
        decoded.exif,
        decoded.notes + said,
    )


def _bytes_of(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ImageError(f"{path} has {path.stat().st_size / 1e9:.1f} GB, too much for a photo")
        data = path.read_bytes()
    except OSError as error:
        raise read_error(path, error) from error
    if not data:
        raise ImageError(f"{path} is empty")
    return data


def _refuse_unreadable(path: Path, kind: Kind | None, data: bytes) -> None:
    """Raise if nothing decodes such a file."""
    if kind is None:
        what = "only zeros" if not data.strip(b"\0") else "no picture of a known format (JPEG, PNG, TIFF, HEIC, ...)"
        raise ImageError(f"{path} holds {what}")
    if kind.reader == "video":
        raise ImageError(f"{path} is a video, not a photo")
    if not kind.reader:
        raise ImageError(f"{path} is {kind.name}, which is not read; save it as PNG or TIFF")


def _valid(decoded: Decoded) -> Tensor | None:
    if decoded.alpha is None:
        return None
    opaque = decoded.alpha > np.iinfo(decoded.alpha.dtype).max / 2
    return None if opaque.all() else torch.from_numpy(opaque[None].copy())


@contextmanager
def _quiet_strict_decoders() -> Iterator[None]:
    """Decode strictly and without a word, whatever the process set; the caller holds the lock."""
    import cv2
    from PIL import Image, ImageFile, PngImagePlugin

    # read_image has a limit of its own, with its own words; metadata beside sound pixels have none
    # that matters.
    ours: list[tuple[Any, str, Any]] = [
        (Image, "MAX_IMAGE_PIXELS", None),
        (ImageFile, "LOAD_TRUNCATED_IMAGES", False),
        (PngImagePlugin, "MAX_TEXT_CHUNK", 2**28),
        (PngImagePlugin, "MAX_TEXT_MEMORY", 2**29),
    ]
    theirs = [getattr(place, name) for place, name, _ in ours]
    log: Any = getattr(cv2.utils, "logging", cv2)  # OpenCV 4 has these two at its top
    level = log.getLogLevel()
    try:
        for place, name, value in ours:
            setattr(place, name, value)
        log.setLogLevel(0)  # silent
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for (place, name, _), value in zip(ours, theirs, strict=True):
            setattr(place, name, value)
        log.setLogLevel(level)


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
