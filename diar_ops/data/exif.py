"""What the camera wrote into a photo, read without decoding the photo."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image


def read_exif(path: str | PathLike[str]) -> Image.Exif:
    """Read the EXIF data of a photo from its header.

    Args:
        path: The file.

    Returns:
        The data; empty where there are none, or they cannot be read.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        try:
            with Image.open(path) as image:
                return image.getexif()
        except UnidentifiedImageError:
            import pillow_heif  # phones' photos, which Pillow alone does not know

            exif = Image.Exif()
            exif.load(pillow_heif.open_heif(path).info.get("exif") or b"")
            return exif
    except Exception:  # decoders answer damaged bytes with anything; the photo itself may be sound
        return Image.Exif()
