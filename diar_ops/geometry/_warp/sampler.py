"""Sample an image that may have holes, on any level of its box pyramid."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from diar_ops._checks import read_number
from diar_ops._pixels import constant
from diar_ops.geometry._warp.footprint import Footprint


class SourcePyramid:
    """An image (B or 1, C, H, W) without non-finite values, its holes, and their pyramids.

    Level l halves the size l times by exact 2 x 2 box averages (odd sizes repeat the last row or
    column). ``holes`` is 1 where a pixel must not be used, ``None`` if there is none.
    """

    def __init__(self, image: Tensor, holes: Tensor | None, mode: str) -> None:
        self.images = [image]
        self.holes = None if holes is None else [holes]
        self.mode = mode

    @classmethod
    def from_image(cls, image: Tensor, valid: Tensor | None, mode: str) -> SourcePyramid:
        """Zero pixels that are invalid or not finite, and mark them as holes."""
        on_cpu = image.device.type == "cpu"
        if valid is None and on_cpu:
            # One cheap pass spares the common case all work on holes; a GPU would have to wait.
            total = read_number(image.detach().sum())
            if total is not None and math.isfinite(total):
                return cls(image, None, mode)
        bad = ~image.isfinite().all(dim=1, keepdim=True)
        if valid is not None:
            bad = bad | ~valid
        if on_cpu and read_number(bad.any()) == 0:
            return cls(image, None, mode)
        return cls(torch.where(bad, 0, image), bad.to(image.dtype), mode)

    def _level(self, level: int) -> tuple[Tensor, Tensor | None]:
        while len(self.images) <= level:
            self.images.append(F.avg_pool2d(_pad_to_even(self.images[-1]), 2))
            if self.holes is not None:
                self.holes.append(F.max_pool2d(_pad_to_even(self.holes[-1]), 2))
        return self.images[level], None if self.holes is None else self.holes[level]

    def sample(self, grid: Tensor, level: int) -> tuple[Tensor, Tensor | None]:
        """Return values (B, C, h, w) at ``grid`` (B, h, w, 2) and the share of holes in them.

        ``grid`` is normalised to level 0.
        """
        image, holes = self._level(level)
        if level > 0:
            # Padding to even sizes made the coarse image reach further than the original.
            extent = [self.images[0].shape[axis] / (image.shape[axis] * 2**level) for axis in (3, 2)]
            grid = (grid + 1) * constant(extent, dtype=grid.dtype, device=grid.device) - 1
        values = _grid_sample(image, grid, self.mode)
        if holes is None:
            return values, None
        if self.mode == "bicubic":
            # The 4 x 4 stencil reaches one pixel beyond the bilinear one on every side.
            holes = F.max_pool2d(holes, 3, stride=1, padding=1)
        return values, _grid_sample(holes, grid, "nearest" if self.mode == "nearest" else "bilinear")


def average(
    source: SourcePyramid, grid: Tensor, cover: Footprint, plan: list[tuple[int, int, int]]
) -> tuple[Tensor, Tensor | None]:
    """Average ``source`` over the footprints ``cover`` of the output pixels at ``grid``.

    ``plan`` lists the pyramid levels and the most samples per axis that any pixel needs there; a
    pixel that needs fewer gives the others the weight 0.
    """
    values: Tensor | None = None
    holes: Tensor | None = None
    # A number divided by integers would take the default dtype of the process.
    taps_u, taps_v = cover.taps_u.to(grid.dtype), cover.taps_v.to(grid.dtype)
    share = 1 / (taps_u * taps_v)
    for level, most_u, most_v in plan:
        on_level = cover.level == level
        for i in range(most_u):
            offset_u = ((i + 0.5) / taps_u - 0.5) * cover.spread_u
            column = torch.addcmul(grid, offset_u[..., None], cover.step_u)
            used = on_level & (cover.taps_u > i)
            for j in range(most_v):
                offset_v = ((j + 0.5) / taps_v - 0.5) * cover.spread_v
                weight = torch.where(used & (cover.taps_v > j), share, 0)[:, None]
                position = torch.addcmul(column, offset_v[..., None], cover.step_v)
                value, hole = source.sample(position, level)
                values = weight * value if values is None else values.addcmul(weight, value)
                if hole is not None:
                    holes = weight * hole if holes is None else holes.addcmul(weight, hole)
    assert values is not None, "a plan has at least one level"
    return values, holes


def _pad_to_even(image: Tensor) -> Tensor:
    odd_h, odd_w = image.shape[-2] % 2, image.shape[-1] % 2
    # An exported program must serve odd and even sizes alike.
    padded = torch.compiler.is_compiling() or odd_h or odd_w
    return F.pad(image, (0, odd_w, 0, odd_h), mode="replicate") if padded else image


def _grid_sample(image: Tensor, grid: Tensor, mode: str) -> Tensor:
    batch, height = grid.shape[:2]
    eager_cpu = grid.device.type == "cpu" and not torch.compiler.is_compiling()
    split = torch.get_num_threads() if batch == 1 and eager_cpu else 1
    if split > 1 and height % split == 0:
        # grid_sample runs one thread per batch item: make one item of each band of rows.
        grid = grid.reshape(split, height // split, *grid.shape[2:])
    image = image.expand(grid.shape[0], -1, -1, -1)
    out = F.grid_sample(image, grid, mode=mode, padding_mode="border", align_corners=False)
    if grid.shape[0] != batch:
        out = out.movedim(0, 1).reshape(1, out.shape[1], height, -1)
    return out
