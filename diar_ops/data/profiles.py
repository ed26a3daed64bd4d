"""Colour profiles: what the numbers of RGB pixels mean, and how they become those of another profile."""

from __future__ import annotations

import io
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np

from diar_ops._errors import ImageError

# Profiles of this package, of the primaries and curves that the spaces' standards state.
SRGB, DISPLAY_P3, ADOBE_RGB = "srgb", "display_p3", "adobe_rgb"

_RELATIVE, _EXACT = 1, 0x100  # littlecms: relative colorimetric; no table in place of the curves
_EXIF_IFD, _INTEROPERABILITY_IFD, _COLOUR_SPACE = 0x8769, 0xA005, 0xA001


@lru_cache
def shipped_profile(name: str) -> bytes:
    """Return a profile that comes with the package: ``"srgb"``, ``"display_p3"`` or ``"adobe_rgb"``."""
    return (resources.files(__package__) / "icc" / f"{name}.icc").read_bytes()


def profile_of(icc_profile: bytes | None, exif: bytes | None) -> tuple[bytes | None, tuple[str, ...]]:
    """Return the profile of RGB pixels, and what is to be said of it.

    Args:
        icc_profile: What the file carries.
        exif: Its EXIF data: cameras that are set to Adobe RGB may say it only there.

    Returns:
        The profile, ``None`` for sRGB, and notes.
    """
    if icc_profile is not None and icc_profile[16:20] == b"RGB ":
        if _opened(icc_profile) is not None:
            return icc_profile, ()
        return None, ("its colour profile is damaged; its colours are taken for sRGB",)
    # A profile of another colour space would mislabel the RGB pixels.
    return (shipped_profile(ADOBE_RGB) if exif and _says_adobe_rgb(exif) else None), ()


def _says_adobe_rgb(exif: bytes) -> bool:
    from PIL import Image

    data = Image.Exif()
    try:
        data.load(exif)
        space = data.get_ifd(_EXIF_IFD).get(_COLOUR_SPACE)
        return space == 2 or (space == 0xFFFF and data.get_ifd(_INTEROPERABILITY_IFD).get(1) == "R03")
    except Exception:  # damaged metadata say nothing
        return False


@lru_cache(maxsize=64)
def _opened(icc_profile: bytes) -> Any:
    """Return a profile as littlecms opened it, or None if it cannot be used."""
    from PIL import ImageCms

    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile))
        ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), "RGB", "RGB")
    except (ImageCms.PyCMSError, OSError):
        return None
    return profile


def gamut_area(profile: bytes | None) -> float:
    """Return the area of a profile's triangle of primaries; 0 where it cannot be converted to."""
    opened = _opened(profile or shipped_profile(SRGB)).profile
    primaries = [opened.red_primary, opened.green_primary, opened.blue_primary]
    if None in primaries:
        return 0.0  # a table, perhaps of one direction alone
    (x0, y0), (x1, y1), (x2, y2) = (xyY[:2] for _, xyY in primaries)
    return round(abs(float((x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0))), 4)


def mean_alike(first: bytes | None, second: bytes | None) -> bool:
    """Return whether two profiles mean the same colours, to within rounding."""
    if first == second:
        return True
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(64, 64, 3)
    return bool(np.abs(convert_pixels(cube, first, second).astype(int) - cube).max() <= 1)


def convert_pixels(pixels: Any, source: bytes | None, target: bytes | None) -> Any:
    """Return pixels (H, W, 3), uint8 or uint16, of one profile in another, both sRGB if None.

    Colours are kept relative to white (the relative colorimetric intent).

    Raises:
        ImageError: The pixels are of 16 bits, and imagecodecs is not installed.
    """
    convert = _convert_eight if pixels.dtype == np.uint8 else _convert_sixteen
    return convert(np.ascontiguousarray(pixels), source or shipped_profile(SRGB), target or shipped_profile(SRGB))


def _convert_eight(pixels: Any, source: bytes, target: bytes) -> Any:
    from PIL import Image

    return np.asarray(_transform(source, target).apply(Image.fromarray(pixels)))


@lru_cache(maxsize=64)
def _transform(source: bytes, target: bytes) -> Any:
    from PIL import ImageCms

    return ImageCms.buildTransform(
        _opened(source), _opened(target), "RGB", "RGB", renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC
    )


def _convert_sixteen(pixels: Any, source: bytes, target: bytes) -> Any:
    try:
        import imagecodecs
    except ImportError as error:
        raise ImageError(
            "photos of 16 bits and of different colour profiles need imagecodecs to be brought to one profile: "
            "pip install 'diar-ops[photos]'"
        ) from error
    return imagecodecs.cms_transform(
        pixels, source, target, colorspace="rgb", outcolorspace="rgb", intent=_RELATIVE, flags=_EXACT
    )
