"""Image pyramids with validity."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops._checks import solve_dtype, widest_dtype
from diar_ops._pixels import constant
from diar_ops.geometry._matrix3 import determinant, scale_to_unit

#: Maps images (B, C, H, W) and what is valid of them (B, 1, H, W) bool to features (B, F, H, W)
#: that light does not change, and which of them hold, (B, 1, H, W) bool.
Features: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

#: Shorter side of the coarsest level of the destination, in pixels, at least; of the source, half.
_MIN_SIDE = 48


class MaskedLevel(NamedTuple):
    """An image of a pyramid, 0 where it is not valid."""

    image: Tensor
    valid: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.image.shape[-2], self.image.shape[-1]

    def half(self) -> MaskedLevel:
        """Return the image at half the size, without an odd last row or column."""
        valid = F.avg_pool2d(self.valid.to(self.image.dtype), 2) == 1
        return MaskedLevel(F.avg_pool2d(self.image, 2) * valid, valid)


def first_level(image: Tensor, valid: Tensor | None, *, grey: bool) -> MaskedLevel:
    """Return the level of full resolution, in at least float32; the mean of channels if grey."""
    known = image.isfinite().all(1, keepdim=True)
    known = known if valid is None else known & valid
    image = image.to(solve_dtype(image.dtype))
    image = image.mean(1, keepdim=True) if grey else image
    return MaskedLevel(torch.where(known, image, 0), known)


class Pyramid:
    """An image at its own size, half of it, a quarter, ..., made when first asked for and kept, as are its features.

    Threads may share it: what two ask for at the same time is made twice, and is the same.

    Args:
        image: (B, C, H, W) floating point.
        valid: Optional (B, 1, H, W) bool.
        describe: Maps images to features.
        grey: Whether the mean of the channels takes their place.
    """

    def __init__(self, image: Tensor, valid: Tensor | None, describe: Features, *, grey: bool) -> None:
        self.image, self.valid, self.describe = image, valid, describe
        self._levels = {0: first_level(image, valid, grey=grey)}
        self._features: dict[int, tuple[Tensor, Tensor]] = {}

    def __getitem__(self, level: int) -> MaskedLevel:
        """Return the image of a level; 0 is the finest."""
        found = self._levels.get(level)
        if found is None:
            found = self._levels[level] = self[level - 1].half()
        return found

    def features(self, level: int) -> tuple[Tensor, Tensor]:
        """Return the features of a level, and which of them hold."""
        found = self._features.get(level)
        if found is None:
            found = self._features[level] = self.describe(*self[level])
        return found


def count_levels(source: Pyramid, destination: Pyramid) -> int:
    """Return on how many levels two images are compared."""
    level = 0
    while min(destination[level].size) >= 2 * _MIN_SIDE and min(source[level].size) >= _MIN_SIDE:
        level += 1
    return level + 1


def level_matrix(level: int, like: Tensor) -> Tensor:
    """Return (3, 3) ``homography_level_image`` of a level of the pyramid; pixel centres are at integers."""
    scale = 2.0**-level
    offset = 0.5 * scale - 0.5
    return constant([[scale, 0, offset], [0, scale, offset], [0, 0, 1]], dtype=like.dtype, device=like.device)


def start_estimates(homography: Tensor, batch: int) -> tuple[Tensor, Tensor]:
    """Return homographies (B, 3, 3) of unit length in the dtype to solve in, and (B,) which can be inverted."""
    H, usable = scale_to_unit(homography.to(widest_dtype(homography.device)))
    return H.expand(batch, 3, 3), (usable & determinant(H.detach())[1]).expand(batch)
