"""Bring photos of different colour profiles to one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from diar_ops.data.images import Photo
from diar_ops.data.profiles import convert_pixels, gamut_area, mean_alike

_ROWS = 256  # converted at once, in little memory


def to_one_profile(photos: Sequence[Photo]) -> list[Photo]:
    """Bring photos to one colour profile, each in its bit depth.

    It is that of all photos where they share one; else the widest of theirs, so that no colour is
    cut off. Colours are kept relative to white (the relative colorimetric intent).

    Args:
        photos: As read; a photo without a profile is sRGB.

    Returns:
        The photos in their order; those that have the profile already as they are.

    Raises:
        ImageError: A photo of 16 bits must be converted, and imagecodecs is not installed.
    """
    profiles = {photo.icc_profile for photo in photos}
    if len(profiles) < 2:
        return list(photos)
    # By their bytes last, so that the order of the photos does not matter.
    target = max(profiles, key=lambda profile: (gamut_area(profile), profile or b""))
    kept = {profile for profile in profiles if mean_alike(profile, target)}
    return [
        replace(
            photo, pixels=photo.pixels if photo.icc_profile in kept else _convert(photo, target), icc_profile=target
        )
        for photo in photos
    ]


def _convert(photo: Photo, target: bytes | None) -> Tensor:
    converted = torch.empty_like(photo.pixels)
    for top in range(0, photo.size[0], _ROWS):
        rows = photo.pixels[:, top : top + _ROWS].numpy().transpose(1, 2, 0)
        moved = convert_pixels(rows, photo.icc_profile, target)
        converted[:, top : top + _ROWS] = torch.from_numpy(moved.transpose(2, 0, 1).copy())
    return converted
