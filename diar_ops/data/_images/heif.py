"""Decode HEIC and HEIF photos with libheif."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from diar_ops.data._images.decoded import (
    Decoded,
    package,
    shrink_array,
    shrink_factor,
    shrunk_note,
    split_channels,
    to_unsigned,
)
from diar_ops.data._images.pillow import SEVERAL
from diar_ops.data.profiles import DISPLAY_P3, shipped_profile

_P3, _PQ, _HLG = 12, 16, 18  # colour primaries and curves of ISO/IEC 23091-2


def decode_heif(path: Path, data: bytes) -> Decoded:
    """Decode the main picture of the file, upright, in 16 bits where it has more than 8.

    Args:
        path: The file, for messages.
        data: Its bytes.
    """
    pillow_heif = package(path, "a HEIC photo", "pillow_heif", "pillow-heif")
    file = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)
    image = file[file.primary_index]
    width, height = image.size
    factor = shrink_factor(path, width, height)
    pixels = to_unsigned(path, np.asarray(image), 16 if ";16" in image.mode else 8)
    pixels, alpha = split_channels(path, shrink_array(pixels, factor))
    notes = shrunk_note(width, height, factor) + ((SEVERAL,) if len(file) > 1 else ())
    icc_profile = image.info.get("icc_profile")
    coded = image.info.get("nclx_profile") or {}
    if not icc_profile and coded.get("color_primaries") == _P3:
        icc_profile = shipped_profile(DISPLAY_P3)
    if not icc_profile and coded.get("transfer_characteristics") in (_PQ, _HLG):
        notes += ("its HDR colours are taken as they are, and look flat",)
    return Decoded(pixels, alpha, icc_profile, image.info.get("exif"), notes)
