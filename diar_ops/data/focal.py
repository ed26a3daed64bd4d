"""The focal length that a photo's EXIF data tell."""

from __future__ import annotations

import math

from PIL import ExifTags, Image

#: Diagonal of the film that equivalent focal lengths are of, in millimetres.
_DIAGONAL = math.hypot(36, 24)


def read_focal(exif: bytes | None) -> float | None:
    """Read the focal length of a photo from its EXIF data.

    Args:
        exif: As :attr:`Photo.exif` has them.

    Returns:
        In shares of the photo's diagonal, from the equivalent on 35 mm film; ``None`` where it is not
        told, or cannot be read. Of a photo that was cut out of a larger one it is too short.
    """
    told = Image.Exif()
    try:
        told.load(exif or b"")
        focal = float(told.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.FocalLengthIn35mmFilm) or 0) / _DIAGONAL
    except Exception:  # whatever damaged data make Pillow raise: the photo itself was read already
        return None
    return focal if 0.1 < focal < 50 else None
