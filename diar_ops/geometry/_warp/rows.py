"""Warp some rows of the output, or all of them band by band."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._checks import read_number
from diar_ops._threads import work_size
from diar_ops._types import Warped
from diar_ops.geometry._spline import DisplacementGrid, ProjectedGrid
from diar_ops.geometry._warp.footprint import NO_SHRINK, exact_plan, footprint, shrink_bound, static_plan
from diar_ops.geometry._warp.grid import SamplingGrid, Workspace, sampling_grid
from diar_ops.geometry._warp.sampler import SourcePyramid, average
from diar_ops.geometry.distortion import PhotoLens

#: Shrink that is provided for where the real one cannot be read from the homographies.
_ASSUMED_SHRINK = 4.0
#: Share of holes in a sample from which on it is invalid: above what rounding gives.
_HOLE_SHARE = 1e-3
#: Output pixels that one thread works on at a time, which stay in the processor's cache.
_CHUNK_PIXELS = 2**18


class WarpPlan(NamedTuple):
    """The parameters that all rows of a warp share."""

    source: SourcePyramid
    size: tuple[int, int]  # (height, width) of the source
    matrix: Tensor  # (B, 3, 3) of sampling_matrix
    columns: Tensor  # (w,) centred positions of the output's columns
    lens: PhotoLens | None
    bend: DisplacementGrid | ProjectedGrid | None  # its positions count from the middle of the output
    antialias: bool
    max_shrink: float | None
    dtype: torch.dtype  # of the output


def warp_bands(plan: WarpPlan, rows: Tensor) -> Warped:
    """Warp all ``rows`` (h,) in bands; for inference on a CPU."""
    batch, width = len(plan.matrix), len(plan.columns)
    channels = plan.source.images[0].shape[1]
    shape = (len(rows), width)
    out = Warped(
        plan.matrix.new_empty((batch, channels, *shape), dtype=plan.dtype),
        plan.matrix.new_empty((batch, 1, *shape), dtype=torch.bool),
    )
    height = max(1, work_size(_CHUNK_PIXELS) // (batch * width))
    work = Workspace.of(plan.matrix, min(height, len(rows)), width)
    start = 0
    for band in torch.split(rows, height):
        values, valid = _values(plan, band, work)
        image, known = (whole[:, :, start : start + len(band)] for whole in out)
        known.copy_(valid)
        if read_number(valid.all()):
            image.copy_(values)
        else:  # a product masks in half the time of a choice
            image.copy_(values.mul_(valid))
        start += len(band)
    return out


def warp_rows(plan: WarpPlan, rows: Tensor) -> Warped:
    """Warp ``rows`` (h,), differentiably and in one piece."""
    values, valid = _values(plan, rows)
    return Warped(torch.where(valid, values, 0).to(plan.dtype), valid)


def _values(plan: WarpPlan, rows: Tensor, work: Workspace | None = None) -> tuple[Tensor, Tensor]:
    """Return values (B, C, h, w), finite everywhere, and where they are valid (B, 1, h, w)."""
    sampling = sampling_grid(plan.matrix, rows, plan.columns, plan.lens, plan.bend, work)
    values, holes = _sample(plan, sampling, rows)
    valid = sampling.valid[:, None]
    return values, valid if holes is None else valid & (holes.detach() < _HOLE_SHARE)


def _sample(plan: WarpPlan, sampling: SamplingGrid, rows: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return the values and the share of holes at ``sampling``, averaged where the warp shrinks."""
    source, limit = plan.source, plan.max_shrink
    compiling, on_cpu = torch.compiler.is_compiling(), plan.matrix.device.type == "cpu"
    if not plan.antialias or (on_cpu and not compiling and _shrinks_nowhere(plan, rows)):
        return source.sample(sampling.grid, 0)
    cover = footprint(plan.matrix, sampling, plan.size, limit)
    # A GPU need not wait where the limit is known.
    steps = exact_plan(cover) if not compiling and (on_cpu or limit is None) else None
    if steps is None:
        if limit is None:
            limit = _ASSUMED_SHRINK
            cover = footprint(plan.matrix, sampling, plan.size, limit)
        steps = static_plan(limit)
    if steps == [(0, 1, 1)]:
        return source.sample(sampling.grid, 0)
    return average(source, sampling.grid, cover, steps)


def _shrinks_nowhere(plan: WarpPlan, rows: Tensor) -> bool:
    """Return whether no pixel of ``rows`` can shrink; cheap, and False where nothing can be read."""
    reach = None if plan.lens is None else plan.lens.reach(plan.matrix.dtype)
    bound = read_number(shrink_bound(plan.matrix, rows, plan.columns, plan.size, reach))
    return bound is not None and bound <= NO_SHRINK
