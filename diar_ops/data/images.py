"""Read photos: native bit depth, upright, RGB; one clear sentence for what is no photo."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from diar_ops._errors import ImageError
from diar_ops.data._listing import read_error
from diar_ops.data.sixteen_bit import decode_sixteen, has_sixteen_bits, upright

if TYPE_CHECKING:
    from PIL import Image

#: A larger picture is taken for a decompression bomb.
MAX_PIXELS = 300_000_000

_FORMATS = ("JPEG", "PNG", "TIFF", "WEBP")  # the JPEG reader takes phones' MPO files too
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1", b"avif")
# Pillow's limits, warning filters and OpenCV's log level belong to the whole process.
_LOCK = threading.Lock()


@dataclass(frozen=True, eq=False)
class Photo:
    """One photo as loaded: upright, in the bit depth of its file.

    Attributes:
        pixels: (3, H, W) uint8 or uint16, R, G, B; a grey photo holds the same plane three times.
        name: File name without its folder.
        valid: (1, H, W) bool, False where the file's alpha says transparent (below one half);
            ``None`` if every pixel is opaque.
        icc_profile: The colour profile of the file if it describes RGB.
    """

    pixels: Tensor
    name: str
    valid: Tensor | None = None
    icc_profile: bytes | None = None

    @property
    def bit_depth(self) -> int:
        """Bits per channel of the file, 8 or 16."""
        return 8 if self.pixels.dtype == torch.uint8 else 16

    @property
    def size(self) -> tuple[int, int]:
        """Return (height, width) in pixels, after the EXIF orientation."""
        return self.pixels.shape[-2], self.pixels.shape[-1]


def read_image(path: str | PathLike[str]) -> Photo:
    """Read one photo: JPEG, PNG, TIFF or WebP; grey, palette, RGB or CMYK; 8 or 16 bits.

    The EXIF orientation is applied. Of a file with several pages or frames the first is read.
    CMYK is converted to sRGB through its profile where it carries one.

    Args:
        path: The file.

    Returns:
        The :class:`Photo`, in the bit depth of the file.

    Raises:
        ImageError: The file is missing, unreadable, empty, no image, truncated, damaged, of more
            than 300 megapixels, or in a depth or colour space that is not supported.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise read_error(path, error) from error
    if not data:
        raise ImageError(f"{path} is empty")
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
        raise ImageError(f"{path} is a HEIC or AVIF photo, which is not supported; save it as JPEG")
    try:
        with _LOCK, _quiet_strict_decoders():
            pixels, alpha, icc_profile = _decode(path, data)
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        # Decoders answer damaged bytes with anything from OSError to SyntaxError.
        raise ImageError(f"{path} is truncated or damaged ({_sentence(error)})") from error
    valid = None
    if alpha is not None:
        opaque = alpha > np.iinfo(alpha.dtype).max / 2
        valid = None if opaque.all() else torch.from_numpy(opaque[None].copy())
    if icc_profile is not None and icc_profile[16:20] != b"RGB ":
        icc_profile = None  # a grey or CMYK profile would mislabel the RGB pixels
    planes = np.array(pixels.transpose(2, 0, 1), order="C")
    return Photo(torch.from_numpy(planes), path.name, valid, icc_profile)


def _decode(path: Path, data: bytes) -> tuple[Any, Any, bytes | None]:
    """Return pixels (H, W, 3), alpha (H, W) or None, both uint8 or uint16, and the profile."""
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError as error:
        raise ImageError(f"{path} is not a JPEG, PNG, TIFF or WebP image") from error
    with image:
        if image.width * image.height > MAX_PIXELS:
            raise ImageError(
                f"{path} has {image.width} x {image.height} pixels, more than the "
                f"{MAX_PIXELS // 10**6} megapixels allowed"
            )
        icc_profile = image.info.get("icc_profile") or None
        if has_sixteen_bits(path, image, data):
            orientation = image.getexif().get(0x0112, 1)
            pixels, alpha = decode_sixteen(path, image, data)
            alpha = None if alpha is None else upright(alpha, orientation)
            return upright(pixels, orientation), alpha, icc_profile
        return *_decode_eight(path, image, icc_profile), icc_profile


def _decode_eight(path: Path, image: Image.Image, icc_profile: bytes | None) -> tuple[Any, Any]:
    """Return pixels (H, W, 3) uint8, and alpha (H, W) uint8 or None."""
    from PIL import ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode in ("F", "I", "LAB", "HSV"):
        raise ImageError(f"{path} holds {image.mode} pixels, which are not supported; save it as 8-bit or 16-bit RGB")
    if image.mode == "CMYK":
        image = _cmyk_to_srgb(image, icc_profile)
    if image.has_transparency_data:
        pixels = np.asarray(image.convert("RGBA"))
        return pixels[..., :3], pixels[..., 3]
    return np.asarray(image.convert("RGB")), None


def _cmyk_to_srgb(image: Image.Image, icc_profile: bytes | None) -> Image.Image:
    from PIL import ImageCms

    if icc_profile is not None:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile))
            target = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):
            pass  # a broken profile is no reason to lose the photo: convert without it
        else:
            assert converted is not None
            return converted
    return image.convert("RGB")


@contextmanager
def _quiet_strict_decoders() -> Iterator[None]:
    """Decode strictly and without a word, whatever the process set; the caller holds the lock."""
    import cv2
    from PIL import Image, ImageFile

    limit, lenient = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    log: Any = getattr(cv2.utils, "logging", cv2)  # OpenCV 4 has these two at its top
    level = log.getLogLevel()
    try:
        Image.MAX_IMAGE_PIXELS = None  # read_image has a limit of its own, with its own words
        ImageFile.LOAD_TRUNCATED_IMAGES = False
        log.setLogLevel(0)  # silent
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = limit, lenient
        log.setLogLevel(level)


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
