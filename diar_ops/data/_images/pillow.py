"""Decode what Pillow reads: JPEG, PNG, WebP, GIF, BMP, PNM, AVIF, and TIFFs of 8 bits."""

from __future__ import annotations

import io
from math import ceil, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diar_ops._errors import ImageError
from diar_ops.data._images import decoded
from diar_ops.data._images.decoded import Decoded, shrink_factor, shrunk_note, upright
from diar_ops.data._images.jpeg import load_jpeg
from diar_ops.data._images.png import decode_sixteen

if TYPE_CHECKING:
    from PIL import Image

SEVERAL = "several pictures are in the file; the first one is used"

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "PPM", "AVIF", "JPEG2000", "TIFF")


def decode_with_pillow(path: Path, data: bytes, *, page: int = 0) -> Decoded:
    """Decode a file of 8 bits, or a PNG of 16.

    Args:
        path: The file, for messages.
        data: Its bytes.
        page: Which of its pictures, where there are several.
    """
    from PIL import Image, UnidentifiedImageError, features

    if data[4:8] == b"ftyp" and not features.check("avif"):
        raise ImageError(f"{path} is an AVIF picture, which needs Pillow 11.3: pip install 'pillow>=11.3'")
    try:
        # A plugin that is not there, such as AVIF's, is not an error: no file gets here that needs it.
        image = Image.open(io.BytesIO(data), formats=[name for name in _FORMATS if name in _known_formats()])
    except UnidentifiedImageError as error:
        raise ImageError(f"{path} is truncated or damaged, or of a kind that is not read") from error
    with image:
        if page:
            image.seek(page)
        notes: tuple[str, ...] = (SEVERAL,) if getattr(image, "is_animated", False) and not page else ()
        icc_profile = image.info.get("icc_profile") or None
        exif = image.info.get("exif") or (image.getexif().tobytes() if image.format == "TIFF" else None)
        width, height = image.size
        if image.format in ("JPEG", "MPO"):
            _draft(image)
        factor = shrink_factor(path, *image.size)
        notes += shrunk_note(width, height, factor * round(width / image.width))
        if image.format == "PNG" and data[24] == 16:  # the bit depth in IHDR, always the first chunk
            orientation = image.getexif().get(0x0112, 1)
            pixels, alpha = decode_sixteen(path, data, factor, orientation)
            return Decoded(pixels, alpha, icc_profile, exif, notes)
        if image.format in ("JPEG", "MPO"):
            image, said = load_jpeg(image, data)
            notes += said
        pixels, alpha, icc_profile = _eight_bits(path, image, icc_profile, factor)
        return Decoded(pixels, alpha, icc_profile, exif, notes)


def _known_formats() -> set[str]:
    from PIL import Image

    Image.init()
    return set(Image.OPEN)


def _draft(image: Any) -> None:
    """Let a huge JPEG be shrunk while it is decoded; a progressive one is held whole in memory all the same."""
    factor = ceil(sqrt(image.width * image.height / decoded.FULL_PIXELS))
    if factor > 1 and not image.info.get("progressive"):
        image.draft(None, (image.width // factor, image.height // factor))


def _eight_bits(
    path: Path, image: Image.Image, icc_profile: bytes | None, factor: int
) -> tuple[Any, Any, bytes | None]:
    """Return pixels (H, W, 3) uint8, alpha (H, W) uint8 or None, and the profile of the pixels."""
    image.load()
    orientation = image.getexif().get(0x0112, 1)  # 1 where Pillow has applied it while loading
    if image.mode in ("F", "I", "I;16", "LAB", "HSV"):
        raise ImageError(f"{path} holds {image.mode} pixels, which are not supported; save it as 8-bit or 16-bit RGB")
    has_alpha = image.has_transparency_data
    if icc_profile is not None and icc_profile[16:20] != b"RGB ":
        image, icc_profile = _to_srgb(image, icc_profile), None
    if image.mode not in ("RGB", "RGBA") or has_alpha:
        image = image.convert("RGBA" if has_alpha else "RGB")
    if factor > 1:
        image = image.reduce(factor)
    pixels = upright(np.asarray(image), orientation)
    return pixels[..., :3], pixels[..., 3] if has_alpha else None, icc_profile


def _to_srgb(image: Image.Image, icc_profile: bytes) -> Image.Image:
    """Return an image of a grey or CMYK profile in sRGB, or as it is where the profile does not describe it."""
    from PIL import ImageCms

    if image.mode not in ("L", "CMYK"):
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return image  # a broken profile is no reason to lose the photo
    assert converted is not None
    return converted
