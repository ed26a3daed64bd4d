"""Warp some rows of the output, or all of them band by band."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._checks import read_number
from diar_ops._types import Warped
from diar_ops.geometry._spline import DisplacementGrid, ProjectedGrid
from diar_ops.geometry._warp.footprint import NO_SHRINK, exact_plan, footprint, shrink_bound, static_plan
from diar_ops.geometry._warp.grid import SamplingGrid, sampling_grid
from diar_ops.geometry._warp.sampler import SourcePyramid, average
from diar_ops.geometry.distortion import PhotoLens

#: Shrink that is provided for where the real one cannot be read from the homographies.
_ASSUMED_SHRINK = 4.0
#: Share of holes in a sample from which on it is invalid: above what rounding gives.
_HOLE_SHARE = 1e-3
#: Output pixels that are worked on at a time. Smaller bands stay in the processor's cache, but
#: every op on them waits for all threads: on a busy machine that costs more than the cache gives.
_CHUNK_PIXELS = 2**20


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
    start = 0
    out: Warped | None = None
    for band in torch.split(rows, max(1, _CHUNK_PIXELS // (batch * width))):
        part = warp_rows(plan, band, read=True)
        if len(band) == len(rows):
            return part
        if out is None:
            out = Warped(*(x.new_empty(batch, x.shape[1], len(rows), width) for x in part))
        for whole, piece in zip(out, part, strict=True):
            whole[:, :, start : start + len(band)] = piece
        start += len(band)
    assert out is not None, "there is at least one row"
    return out


def warp_rows(plan: WarpPlan, rows: Tensor, *, read: bool = False) -> Warped:
    """Warp ``rows`` (h,); with ``read``, spare the masking where a look finds all pixels valid."""
    sampling = sampling_grid(plan.matrix, rows, plan.columns, plan.lens, plan.bend)
    values, holes = _sample(plan, sampling, rows)
    valid = sampling.valid[:, None]
    if holes is not None:
        valid = valid & (holes.detach() < _HOLE_SHARE)
    if not (read and read_number(valid.all())):
        values = torch.where(valid, values, 0)
    return Warped(values.to(plan.dtype), valid)


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
