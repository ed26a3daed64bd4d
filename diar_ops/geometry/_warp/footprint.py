"""Footprints of output pixels in the source of a warp, and the samples that average them.

An output pixel's footprint is the parallelogram of its two steps in the source. It is averaged by
``n_u x n_v`` samples, no further than one source pixel apart, on a level of a box pyramid. All of
this is decided per pixel, so that no pixel and no batch item depends on another; the largest
counts only decide how often the sampler runs.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._checks import read_numbers
from diar_ops._pixels import constant
from diar_ops.geometry._warp.grid import SamplingGrid

#: Up to this shrink a single sample is enough: bilinear interpolation is itself a low-pass as wide
#: as the pixel, and real photos hold next to nothing at the frequencies that would fold back.
NO_SHRINK = 1.25
#: Most samples along one side of a pixel; beyond it a coarser pyramid level takes over.
MAX_TAPS = 8
#: Coarsest level: a single pixel, of any image that fits into memory.
_MAX_LEVEL = 24


class Footprint(NamedTuple):
    """The parts of the source that output pixels cover; (B, h, w) each.

    Attributes:
        step_u: (B, h, w, 2) move of the normalised source position per output column.
        step_v: (B, h, w, 2) the same per output row.
        spread_u: Share of the pixel's width over which the samples spread, in [0, 1].
        spread_v: The same for its height.
        taps_u: Samples along the width (int64).
        taps_v: Samples along the height (int64).
        level: Pyramid level (int64).
    """

    step_u: Tensor
    step_v: Tensor
    spread_u: Tensor
    spread_v: Tensor
    taps_u: Tensor
    taps_v: Tensor
    level: Tensor


def footprint(matrix: Tensor, sampling: SamplingGrid, source: tuple[int, int], max_shrink: float | None) -> Footprint:
    """Return the footprints of the output pixels of ``sampling``; invalid pixels take one sample.

    Args:
        matrix: (B, 3, 3) from :func:`diar_ops.geometry._warp.grid.sampling_matrix`.
        sampling: Sampling positions of some rows.
        source: (height, width) of the source image.
        max_shrink: Treat any shrink beyond it as if it were this one.
    """
    valid = sampling.valid
    # Behind the horizon the steps would overflow, and their gradient with them.
    grid, w = torch.where(valid[..., None], sampling.straight, 0), torch.where(valid, sampling.w, 1)
    steps = [
        (matrix[:, None, None, :2, axis] - grid * matrix[:, None, None, 2:, axis]) / w[..., None] for axis in (0, 1)
    ]
    pixels = constant([source[1] / 2, source[0] / 2], dtype=grid.dtype, device=grid.device)
    squares = [torch.where(valid, (step * pixels).square().sum(-1), 0) for step in steps]
    limit = math.inf if max_shrink is None else max_shrink
    lengths = [square.detach().sqrt().clamp(max=limit) for square in squares]
    shorter, longer = torch.minimum(*lengths), torch.maximum(*lengths)
    # A level is as coarse as the shorter side allows without blur, or as MAX_TAPS demands.
    level = torch.maximum((shorter / 2).clamp(min=1).log2().floor(), (longer / MAX_TAPS).clamp(min=1).log2().ceil())
    level = level.clamp(max=_MAX_LEVEL)
    unit = torch.exp2(level)
    spreads, taps = [], []
    for square, length in zip(squares, lengths, strict=True):
        # From a point at NO_SHRINK to the full pixel at sqrt(2) times that, without a jump.
        relative = square / (NO_SHRINK * unit).square() - 1
        spreads.append(relative.clamp(0, 1))
        count = (length / unit - 1e-3).ceil().clamp(1, MAX_TAPS)
        taps.append(torch.where(length <= NO_SHRINK * unit, 1, count).long())
    return Footprint(
        step_u=steps[0],
        step_v=steps[1],
        spread_u=spreads[0],
        spread_v=spreads[1],
        taps_u=taps[0],
        taps_v=taps[1],
        level=level.long(),
    )


def shrink_bound(
    matrix: Tensor, rows: Tensor, columns: Tensor, source: tuple[int, int], reach: Tensor | None = None
) -> Tensor:
    """Return a 0-d upper bound of the shrink over all valid pixels of ``rows`` x ``columns``.

    Valid positions have |x|, |y| <= ``reach`` (B, 2) when normalised (1 without a lens), so the
    steps are at most (|m0| + reach |m2|) / w, and w, being linear, is smallest at a corner; ``inf``
    if that is behind.
    """
    m = matrix.detach()
    corners_u, corners_v = (torch.stack((line[0], line[-1])) for line in (columns, rows))
    w = (
        m[:, 2, 0, None, None] * corners_u + m[:, 2, 1, None, None] * corners_v[:, None] + m[:, 2, 2, None, None]
    ).amin((-2, -1))
    side = constant([[source[1] / 2], [source[0] / 2]], dtype=m.dtype, device=m.device)
    far = m[:, 2:, :2].abs()
    steps = (m[:, :2, :2].abs() + (far if reach is None else far * reach[..., None])) * side
    longest = torch.linalg.vector_norm(steps, dim=1).amax(-1)
    bound = torch.where(w > 0, longest / w, torch.inf)
    # An item whose matrix is "nowhere" has no valid pixel at all.
    nowhere = m[:, :2].abs().amax((-2, -1)) == 0
    bound = torch.where(nowhere, 0, bound)
    return bound.amax() if bound.shape[0] else bound.sum()


def exact_plan(cover: Footprint) -> list[tuple[int, int, int]] | None:
    """Return the shortest plan that serves ``cover``, by reading it once; ``None`` if none can be read."""
    base = MAX_TAPS + 1
    key = (cover.level * base + cover.taps_u) * base + cover.taps_v
    seen = torch.zeros((_MAX_LEVEL + 1) * base**2, dtype=torch.bool, device=key.device)
    seen = read_numbers(seen.scatter(0, key.flatten(), True).view(_MAX_LEVEL + 1, base, base))
    if seen is None:
        return None
    plan = []
    for level, table in enumerate(seen):
        taps = [(u, v) for u, row in enumerate(table) for v, found in enumerate(row) if found]
        if taps:
            plan.append((level, max(u for u, _ in taps), max(v for _, v in taps)))
    return plan


def static_plan(max_shrink: float) -> list[tuple[int, int, int]]:
    """Return (level, most taps_u, most taps_v) that cover every footprint up to ``max_shrink``."""
    levels = max(math.floor(math.log2(max(1.0, max_shrink / 2))), math.ceil(math.log2(max(1.0, max_shrink / MAX_TAPS))))
    plan = []
    for level in range(levels + 1):
        shrink = max_shrink / 2**level
        taps = 1 if shrink <= NO_SHRINK else min(MAX_TAPS, math.ceil(shrink - 1e-3))
        plan.append((level, taps, taps))
    return plan
