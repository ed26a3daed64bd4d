"""The focal length that a photo's EXIF data tell."""

from __future__ import annotations

import math
from os import PathLike

from PIL import ExifTags, Image

#: Diagonal of the film that equivalent focal lengths are of, in millimetres.
_DIAGONAL = math.hypot(36, 24)


def read_focal(path: str | PathLike[str]) -> float | None:
    """Read the focal length of a photo from its EXIF data.

    Args:
        path: The file.

    Returns:
        In shares of the photo's diagonal, from the equivalent on 35 mm film; ``None`` where it is not
        told, or cannot be read. Of a photo that was cut out of a larger one it is too short.
    """
    try:
        with Image.open(path) as image:
            told = image.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.FocalLengthIn35mmFilm)
        focal = float(told or 0) / _DIAGONAL
    except Exception:  # whatever a damaged file makes Pillow raise: the photo itself was read already
        return None
    return focal if 0.1 < focal < 50 else None
