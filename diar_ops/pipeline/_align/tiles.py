"""Refine the tie points of large photos in tiles of their own pixels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from diar_ops._pixels import image_size
from diar_ops.geometry import refine_homography, transform_points
from diar_ops.pipeline._align.adjust import AdjustedFrames
from diar_ops.pipeline._align.refine import RELIABILITY_BOUNDS
from diar_ops.pipeline._align.tie_points import TiePoints
from diar_ops.pipeline._frames import Frame, Progress
from diar_ops.pipeline._lens import Lens
from diar_ops.pipeline._warp import warp_frame

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
    refined = []
    for done, tie in enumerate(ties):
        result = _refine_pair(tie, frames, adjusted, device)
        if result is not None:
            refined.append(result)
        progress("looking closer", done + 1, len(ties))
    return refined


def _refine_pair(
    tie: TiePoints, frames: Sequence[Frame], adjusted: AdjustedFrames, device: torch.device
) -> TiePoints | None:
    """Return tie points of two frames from tiles of frame 1, or ``None`` if there are none."""
    lens = adjusted.lens
    frame0, frame1 = frames[tie.frame0], frames[tie.frame1]
    homography_1_0 = torch.linalg.inv(adjusted.homography[tie.frame1]) @ adjusted.homography[tie.frame0]
    corners = _tile_corners(lens.undistort(tie.points1, tie.frame1).points, image_size(frame1.image))
    if not corners:
        return None
    eye = torch.eye(3, dtype=torch.float64)
    moving, moving_valid = _cut_tiles(frame0, homography_1_0, corners, lens, device)
    fixed, fixed_valid = _cut_tiles(frame1, eye, corners, lens, device)
    refined = refine_homography(
        moving,
        fixed,
        eye.to(device).expand(len(corners), 3, 3),
        moving_valid,
        fixed_valid,
        levels=2,
        max_iterations=MAX_ITERATIONS,
    )
    agrees = refined.success & (refined.agreement >= RELIABILITY_BOUNDS[-1][0])
    keep = (refined.matches.valid & agrees[:, None]).cpu()
    if not keep.any():
        return None
    offset = torch.tensor([[left, top] for top, left in corners], dtype=torch.float64)
    points0, points1 = (
        (points.cpu().double() + offset[:, None])[keep] for points in (refined.matches.points0, refined.matches.points1)
    )
    points0 = transform_points(points0, torch.linalg.inv(homography_1_0)).points
    return TiePoints.from_undistorted(tie.frame0, tie.frame1, points0, points1, lens)


def _cut_tiles(
    frame: Frame, homography_1_frame: Tensor, corners: Sequence[tuple[int, int]], lens: Lens, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Warp a frame onto tiles of frame 1: images (n, 3, TILE, TILE) float32, and valid."""
    tiles = [
        warp_frame(
            frame.image, homography_1_frame, (top, left, TILE, TILE), valid=frame.valid, distortion=lens.distortion
        )
        for top, left in corners
    ]
    images, valid = (torch.cat(parts).to(device) for parts in zip(*tiles, strict=True))
    return images.float(), valid


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
