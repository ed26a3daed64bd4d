"""Refine the tie points of large photos in tiles of their own pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._pixels import image_size
from diar_ops._types import Matches
from diar_ops.geometry import refine_homography, transform_points
from diar_ops.pipeline._align.adjust import AdjustedFrames
from diar_ops.pipeline._align.refine import ELEMENTS_PER_PIXEL, RELIABILITY_BOUNDS
from diar_ops.pipeline._align.tie_points import TiePoints
from diar_ops.pipeline._batches import map_batches
from diar_ops.pipeline._frames import Frame, Progress
from diar_ops.pipeline._warp import warp_windows

#: Side of a tile in pixels, and cells per side of the grid, each of which has one tile at most.
TILE, GRID = 192, 5
#: Steps on each level, at most: the rest is small, and with more steps, tiles of noise wander.
MAX_ITERATIONS = 3
#: Tie points in a cell, from which on it has a tile.
LEAST_IN_CELL = 10


def refine_in_tiles(
    ties: Sequence[TiePoints],
    adjusted: AdjustedFrames,
    frames: Sequence[Frame],
    device: torch.device,
    progress: Progress,
) -> list[TiePoints]:
    """Compare tied frames again in tiles of full resolution, where their copies agree.

    The tie points of the copies are many, those of the tiles more exact; where much of the finest
    detail is noise, they are few. Both together fix the frames best.

    Args:
        ties: Of working copies.
        adjusted: Homographies that are right to a pixel or two, and the lens.
        frames: All frames.
        device: Where to compute.
        progress: Called with the progress of the step.

    Returns:
        The tie points of the tiles, for pairs that have any.
    """
    refined: dict[int, TiePoints] = {}
    size_of = [image_size(frame.image) for frame in frames]
    places = [_tile_corners(adjusted.lens.undistort(t.points1, t.frame1).points, size_of[t.frame1]) for t in ties]
    elements = [ELEMENTS_PER_PIXEL * TILE * TILE * len(corners) for corners in places]

    def refine(group: list[int]) -> dict[int, TiePoints | None]:
        tiled = [i for i in group if places[i]]
        cut = [_cut_pair(ties[i], frames, adjusted, places[i], device) for i in tiled]
        found = zip(tiled, _refine_tiles(cut), strict=True)
        return {i: _tie_points(ties[i], tile_matches, places[i], adjusted) for i, tile_matches in found}

    done = 0
    for group, results in map_batches(refine, [None] * len(ties), elements, device):
        refined |= {i: result for i, result in results.items() if result is not None}
        done += len(group)
        progress("looking closer", done, len(ties))
    return [refined[i] for i in sorted(refined)]


class _Tiles(NamedTuple):
    """Tiles of a pair of frames: images (n, 3, TILE, TILE) float32, and valid."""

    moving: Tensor
    moving_valid: Tensor
    fixed: Tensor
    fixed_valid: Tensor


def _cut_pair(
    tie: TiePoints,
    frames: Sequence[Frame],
    adjusted: AdjustedFrames,
    corners: Sequence[tuple[int, int]],
    device: torch.device,
) -> _Tiles:
    """Cut tiles at ``corners`` out of frame 1 of a pair, and warp frame 0 onto them."""
    windows = [(top, left, TILE, TILE) for top, left in corners]
    parts: list[Tensor] = []
    for t, homography_1_t in ((tie.frame0, _homography_1_0(tie, adjusted)), (tie.frame1, _eye())):
        frame = frames[t]
        k = adjusted.lens.distortion
        parts += warp_windows(frame.image, homography_1_t, windows, valid=frame.valid, distortion=k, device=device)
    return _Tiles(*parts)


def _refine_tiles(cut: Sequence[_Tiles]) -> list[tuple[Matches, Tensor]]:
    """Refine the tiles of pairs together; return for each pair the matches, and which hold, on the CPU."""
    if not cut:
        return []
    counts = [len(tiles.moving) for tiles in cut]
    moving, moving_valid, fixed, fixed_valid = (torch.cat(parts) for parts in zip(*cut, strict=True))
    refined = refine_homography(
        moving,
        fixed,
        _eye().to(moving.device).expand(sum(counts), 3, 3),
        moving_valid,
        fixed_valid,
        levels=2,
        max_iterations=MAX_ITERATIONS,
    )
    agrees = refined.success & (refined.agreement >= RELIABILITY_BOUNDS[-1][0])
    keep = (refined.matches.valid & agrees[:, None]).cpu()
    fields = [torch.split(field.cpu(), counts) for field in (*refined.matches, keep)]
    return [(Matches(*matches), held) for *matches, held in zip(*fields, strict=True)]


def _tie_points(
    tie: TiePoints, found: tuple[Matches, Tensor], corners: Sequence[tuple[int, int]], adjusted: AdjustedFrames
) -> TiePoints | None:
    """Return the tie points of two frames from tiles of frame 1, or ``None`` if there are none."""
    matches, keep = found
    if not keep.any():
        return None
    offset = torch.tensor([[left, top] for top, left in corners], dtype=torch.float64)
    points0, points1 = ((points.double() + offset[:, None])[keep] for points in (matches.points0, matches.points1))
    points0 = transform_points(points0, torch.linalg.inv(_homography_1_0(tie, adjusted))).points
    return TiePoints.from_undistorted(tie.frame0, tie.frame1, points0, points1, adjusted.lens)


def _homography_1_0(tie: TiePoints, adjusted: AdjustedFrames) -> Tensor:
    homography_1_reference: Tensor = torch.linalg.inv(adjusted.homography[tie.frame1])
    return homography_1_reference @ adjusted.homography[tie.frame0]


def _eye() -> Tensor:
    return torch.eye(3, dtype=torch.float64)


def _tile_corners(points: Tensor, size: tuple[int, int]) -> list[tuple[int, int]]:
    """Return (top, left) of tiles in an image of ``size``, around most of the points (N, 2)."""
    height, width = size
    if min(size) < TILE:
        return []
    column = (points[:, 0] / width * GRID).long().clamp(0, GRID - 1)
    row = (points[:, 1] / height * GRID).long().clamp(0, GRID - 1)
    corners = []
    for cell in range(GRID * GRID):
        inside = points[row * GRID + column == cell]
        if len(inside) >= LEAST_IN_CELL:
            x, y = inside.median(0).values.tolist()
            top = min(max(0, round(y) - TILE // 2), height - TILE)
            left = min(max(0, round(x) - TILE // 2), width - TILE)
            corners.append((top, left))
    return corners
