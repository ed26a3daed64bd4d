"""Gauss-Newton steps of a homography on one level of the pyramids."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from diar_ops._checks import read_number
from diar_ops._pixels import constant
from diar_ops._types import Warped
from diar_ops.geometry._matrix3 import invert
from diar_ops.geometry._refine.blocks import Blocks, block_weights, solve_step, step_matrix, sum_blocks
from diar_ops.geometry._refine.pyramid import Pyramid
from diar_ops.geometry.corner import corner_error
from diar_ops.geometry.transform import transform_points
from diar_ops.geometry.warp import warp_homography

#: Source pixels for one of the destination, along its sides, below which single samples serve: they
#: left corner errors of rendered photos as they were, and averages take twice the time.
_SHRINK = 2.0
#: Steps on a GPU between looks whether all items are finished.
_LOOK_EVERY = 8


class ImagePair:
    """Source and destination of a level, to be compared under homographies.

    Args:
        source: The image that is warped.
        destination: The image that stays.
        level: Of both.
        antialias: Whether the source is averaged where it shrinks; (B,) bool where items differ.
    """

    def __init__(self, source: Pyramid, destination: Pyramid, level: int, antialias: bool | Tensor) -> None:
        self.source, self.describe, self.size = source[level], source.describe, destination[level].size
        self.antialias = antialias
        self.features = destination.features(level)

    def compare(self, homography: Tensor, **bend: Any) -> Blocks:
        """Return the sums over blocks under homographies (B, 3, 3), and a grid of the warp."""
        features, valid = self.features_of(homography, **bend)
        return sum_blocks(features, self.features[0], valid & self.features[1])

    def features_of(self, homography: Tensor, **bend: Any) -> tuple[Tensor, Tensor]:
        """Return the features of the warped source (B, F, h, w), and which hold (B, 1, h, w)."""
        return self.describe(*self._warp(homography, **bend))

    def _warp(self, homography: Tensor, **bend: Any) -> Warped:
        def warp(*, antialias: bool) -> Warped:
            image, valid = self.source
            H = homography.to(image.dtype)
            return warp_homography(image, H, valid, size=self.size, antialias=antialias, **bend)

        if isinstance(self.antialias, bool):
            return warp(antialias=self.antialias)
        averaged = self.antialias[:, None, None, None]
        pair = zip(warp(antialias=True), warp(antialias=False), strict=True)
        return Warped(*(torch.where(averaged, a, b) for a, b in pair))


class LevelResult(NamedTuple):
    """The result of the steps on a level.

    Attributes:
        homography: (B, 3, 3) in pixels of the level.
        first: The comparison before the first step.
        last: The last comparison.
        compared: (B, 3, 3), the homographies of the last comparison.
        steps: (B,) int64, number of steps.
    """

    homography: Tensor
    first: Blocks
    last: Blocks
    compared: Tensor
    steps: Tensor


def refine_on_level(
    pair: ImagePair, homography: Tensor, usable: Tensor, *, max_iterations: int, tolerance: float
) -> LevelResult:
    """Move homographies (B, 3, 3) step by step until a step is shorter than ``tolerance`` px.

    The last step is too short to compare again. Items that are not ``usable`` (B,) stay.
    """
    steps = torch.zeros(homography.shape[0], dtype=torch.int64, device=homography.device)
    identity = torch.eye(3, dtype=homography.dtype, device=homography.device)
    running, compared = usable, homography
    first = last = pair.compare(homography)
    look_every = 1 if steps.device.type == "cpu" else _LOOK_EVERY
    for number in range(1, max_iterations + 1):
        move = step_matrix(solve_step(last, block_weights(last), pair.size), pair.size)
        length = corner_error(move.detach(), identity, size=pair.size)
        sound = running & (length < max(pair.size))
        homography = torch.where(sound[:, None, None], move @ homography, homography)
        steps = steps + running
        running = sound & (length > tolerance)
        if number % look_every == 0 and read_number(running.any()) == 0:
            break
        # Finished items keep their comparison: no item depends on what else is in its batch.
        compared = torch.where(running[:, None, None], homography, compared)
        last = last.where(running, pair.compare(homography))
    return LevelResult(homography, first, last, compared, steps)


def needs_antialias(homography: Tensor, size: tuple[int, int]) -> bool | Tensor:
    """Return whether sources are averaged where they shrink; (B,) bool where items differ.

    No item depends on what else is in its batch. Where nothing can be read, both are computed.
    """
    shrinks = ~(_shrink_along_sides(homography, size) < _SHRINK)
    count = read_number(shrinks.sum())
    if count is None:
        return shrinks
    return shrinks if 0 < count < shrinks.shape[0] else count > 0


def _shrink_along_sides(homography: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (B,), the most that a side of destinations of ``size`` is longer in its source."""
    h, w = size
    like: dict[str, Any] = {"dtype": homography.dtype, "device": homography.device}
    corners = constant([[0, 0], [w - 1, 0], [w - 1, h - 1], [0, h - 1]], **like)
    corners = corners.expand(homography.shape[0], 4, 2)
    corners_src, _ = transform_points(corners, invert(homography.detach()))
    sides = (corners_src.roll(-1, 1) - corners_src).norm(dim=-1)
    ratio: Tensor = sides / constant([w, h, w, h], **like)
    return ratio.amax(1)
