"""Gauss-Newton steps of a homography on one level of the pyramids."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from diar_ops._checks import read_number
from diar_ops._types import Warped
from diar_ops.geometry._matrix3 import invert
from diar_ops.geometry._refine.blocks import Blocks, block_weights, solve_step, step_matrix, sum_blocks
from diar_ops.geometry._refine.pyramid import MaskedLevel
from diar_ops.geometry.corner import corner_error
from diar_ops.geometry.transform import transform_points
from diar_ops.geometry.warp import warp_homography

#: Maps images (B, C, H, W) and what is valid of them (B, 1, H, W) bool to features (B, F, H, W)
#: that light does not change, and which of them hold, (B, 1, H, W) bool.
Features: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

#: Source pixels for one of the destination, along its sides, below which single samples serve: they
#: left corner errors of rendered photos as they were, and averages take twice the time.
_SHRINK = 2.0


class ImagePair:
    """Source and destination of a level, to be compared under homographies.

    Args:
        source: The image that is warped.
        destination: The image that stays.
        describe: Maps images to features.
        antialias: Whether the source is averaged where it shrinks; (B,) bool where items differ.
    """

    def __init__(
        self, source: MaskedLevel, destination: MaskedLevel, describe: Features, antialias: bool | Tensor
    ) -> None:
        self.source, self.describe, self.size = source, describe, destination.size
        self.antialias = antialias
        self.features = describe(*destination)

    def compare(self, homography: Tensor) -> Blocks:
        """Return the sums over blocks under homographies (B, 3, 3)."""
        features, valid = self.describe(*self._warp(homography))
        return sum_blocks(features, self.features[0], valid & self.features[1])

    def _warp(self, homography: Tensor) -> Warped:
        def warp(*, antialias: bool) -> Warped:
            image, valid = self.source
            return warp_homography(image, homography.to(image.dtype), valid, size=self.size, antialias=antialias)

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
    steps = torch.zeros(len(homography), dtype=torch.int64, device=homography.device)
    identity = torch.eye(3).to(homography)
    running, first = usable, None
    for _ in range(max_iterations):
        compared, blocks = homography, pair.compare(homography)
        first = blocks if first is None else first
        move = step_matrix(solve_step(blocks, block_weights(blocks), pair.size), pair.size)
        length = corner_error(move.detach(), identity, size=pair.size)
        sound = running & (length < max(pair.size))
        homography = torch.where(sound[:, None, None], move @ homography, homography)
        steps = steps + running
        running = sound & (length > tolerance)
        if read_number(running.any()) == 0:
            break
    else:
        compared, blocks = homography, pair.compare(homography)
    return LevelResult(homography, blocks if first is None else first, blocks, compared, steps)


def needs_antialias(homography: Tensor, size: tuple[int, int]) -> bool | Tensor:
    """Return whether sources are averaged where they shrink; (B,) bool where items differ.

    No item depends on what else is in its batch. Where nothing can be read, all are averaged.
    """
    shrinks = ~(_shrink_along_sides(homography, size) < _SHRINK)
    count = read_number(shrinks.sum())
    if count is None:
        return True
    return shrinks if 0 < count < len(shrinks) else count > 0


def _shrink_along_sides(homography: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (B,), the most that a side of destinations of ``size`` is longer in its source."""
    h, w = size
    corners = homography.new_tensor([[0, 0], [w - 1, 0], [w - 1, h - 1], [0, h - 1]])
    corners = corners.expand(len(homography), 4, 2)
    corners_src, _ = transform_points(corners, invert(homography.detach()))
    sides = (corners_src.roll(-1, 1) - corners_src).norm(dim=-1)
    ratio: Tensor = sides / sides.new_tensor([w, h, w, h])
    return ratio.amax(1)
