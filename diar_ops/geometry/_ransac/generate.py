"""Generate hypotheses: draw minimal samples and solve those that keep their orientation."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from diar_ops.geometry._minimal import Corners, corner_areas, four_point_homography, orientation_margin
from diar_ops.geometry._partition import chosen_first
from diar_ops.geometry._ransac.guide import Guide

#: Samples whose temporaries stay in a core's cache.
_SAMPLES_PER_CHUNK = 1 << 15
#: Product of a triangle's areas in both images, in unit-spread coordinates, below which a sample
#: is as good as collinear.
_MIN_AREAS = 1e-8
#: Ordered sampling starts with this many of the best pairs and covers all after so many samples.
_POOL_START = 8
_POOL_GROWTH = 2000


def pool_sizes(count: Tensor, start: int, end: int) -> Tensor:
    """Return (B, end - start), from how many of the first points each sample is drawn.

    Every other sample draws from all, which keeps the guarantee of plain sampling; the others
    grow their pool from the best few to all (after Chum & Matas, Matching with PROSAC, CVPR 2005).
    """
    number = torch.arange(start, end, device=count.device)
    growth = (number.to(torch.float32) / _POOL_GROWTH).clamp(max=1.0)
    growth = torch.where(number % 2 == 0, 1.0, growth)
    n = count[:, None].to(torch.float32)
    first = n.clamp(max=_POOL_START)
    return first * (n / first) ** growth


def generate(
    points: Tensor, count: Tensor, uniform: Tensor, pool: Tensor | None, guide: Guide | None, every: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield homographies (B, P, 9) of minimal samples, chunk by chunk, and (B, P) which are real.

    Args:
        points: (B, 4, N) x, y, x', y' of unit spread.
        count: (B,) how many of the points are usable, the first ones of each item.
        uniform: (M, 4) random numbers in [0, 1) that choose the points of M samples.
        pool: Optional (B, M) from how many of the first points each sample is drawn.
        guide: Optional; every so many samples, the last one is drawn by it.
        every: That number.
    """
    batch = count.shape[0]
    n = count[:, None].to(torch.float32)
    last = (count - 1)[:, None]
    step = max(_SAMPLES_PER_CHUNK // batch, 128) // every * every
    for start in range(0, uniform.shape[0], step):
        chunk = uniform[start : start + step].T.contiguous()  # [4, M]
        limit = n[:, None] if pool is None else pool[:, None, start : start + step]
        index = (chunk * limit).long().minimum(last[:, None])  # [B, 4, M]
        if guide is not None:
            index[..., every - 1 :: every] = guide.draw(chunk[:, every - 1 :: every])
        yield _solve_samples(points, index)


def _solve_samples(points: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Return homographies (B, P, 9) of the samples that keep their orientation, and (B, P) real.

    Most samples with outliers do not: they are dropped before anything is solved. P is the largest
    number of any item; the others are padded with hypotheses that are not ``real``.
    """
    batch, _, number = index.shape
    sampled = points.gather(2, index.flatten(1)[:, None].expand(-1, 4, -1))
    areas = corner_areas(sampled.view(batch, 2, 2, 4, number)).areas
    sound = orientation_margin(areas[:, 0], areas[:, 1]) > _MIN_AREAS  # [B, M]
    kept, real = chosen_first(sound)
    width = kept.shape[1]
    sampled = sampled.view(batch, 16, number).gather(2, kept[:, None].expand(-1, 16, -1))
    both = corner_areas(sampled.view(batch, 2, 2, 4, width))
    src, dst = (Corners(*(field[:, side] for field in both)) for side in range(2))
    return four_point_homography(src, dst).mT.contiguous(), real
