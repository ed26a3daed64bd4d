"""Adjust all frames that are in place jointly: each to the reference and to others beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from diar_ops.geometry import (
    bundle_adjust_homographies,
    refine_homography,
    transform_points,
)
from diar_ops.pipeline._frames import Photo, WorkingCopy, image_size, to_unit
from diar_ops.pipeline._graph import plausible
from diar_ops.pipeline._refine import EVIDENCE, STEPS, Refined, convincing, full_resolution
from diar_ops.pipeline._warp import warp_frame

__all__ = ["Tie", "adjust", "look_closer", "tie_neighbours", "ties_of"]

#: Frames that each frame is compared with beside the one it was laid over.
NEIGHBOURS = 3
#: Most matches of a pair: more add time, not accuracy.
MOST_MATCHES = 2000
#: A pair shares at least this part of the reference.
LEAST_SHARED = 0.1
#: Large photos are compared in tiles of so many pixels, one in each cell of a grid.
TILE, GRID = 192, 5
#: Matches of working copies in a cell, from which on it has a tile.
LEAST_IN_CELL = 10


class Tie(NamedTuple):
    """Where two frames show the same.

    Attributes:
        frame: Index of the one.
        other: Index of the other.
        here: (N, 2) float64 positions in the one, in full-resolution pixels.
        there: (N, 2) in the other.
    """

    frame: int
    other: int
    here: Tensor
    there: Tensor


def ties_of(placed: Mapping[int, Refined]) -> list[Tie]:
    """Return what ties frames to those that they were laid over."""
    return [Tie(t, found.anchor, *found.points) for t, found in placed.items()]


def tie_neighbours(
    placed: Mapping[int, Refined],
    shown: Mapping[int, Tensor],
    copy_of: Callable[[int], WorkingCopy],
    progress: Callable[[str, int, int], None],
) -> list[Tie]:
    """Compare frames with those that show most of the same.

    What hides a part of the reference, or glares there, leaves a frame loosely tied to it. Other
    frames show that part.

    Args:
        placed: Frames that agree with what they were laid over, beside the reference.
        shown: Which points of a grid on the reference each of them shows, (n,) bool.
        copy_of: Returns the working copy of a frame.
        progress: Called with (name of the step, done, in all).
    """
    pairs, ties = _neighbours(shown, placed), []
    for done, (i, j) in enumerate(pairs):
        one, other = copy_of(i), copy_of(j)
        H = torch.linalg.inv(placed[j].homography_reference_frame)
        H = H @ placed[i].homography_reference_frame
        H = other.working_full @ H @ torch.linalg.inv(one.working_full)
        found = refine_homography(
            one.image,
            other.image,
            H[None].to(one.image.device),
            one.valid,
            other.valid,
            levels=1,
            max_iterations=STEPS,
        )
        if convincing(found, max(image_size(other.image))):
            ties.append(Tie(i, j, *full_resolution(found.matches, one, other)))
        progress("adjusting jointly", done + 1, len(pairs))
    return ties


def _neighbours(
    shown: Mapping[int, Tensor], placed: Mapping[int, Refined]
) -> list[tuple[int, int]]:
    """Return each frame with those that share most of what it shows, but those of a pair before."""
    pairs = set()
    for t in shown:
        shared = {p: float((shown[t] & shown[p]).double().mean()) for p in shown if p != t}
        enough = [p for p in shared if shared[p] >= LEAST_SHARED]
        for p in sorted(enough, key=lambda p: (-shared[p], p))[:NEIGHBOURS]:
            if p != placed[t].anchor and t != placed[p].anchor:
                pairs.add((min(t, p), max(t, p)))
    return sorted(pairs)


def look_closer(
    ties: Sequence[Tie],
    homography: Tensor,
    photo_of: Callable[[int], Photo],
    device: torch.device,
    progress: Callable[[str, int, int], None],
) -> list[Tie]:
    """Compare tied frames again, in tiles of their own pixels where their copies agree.

    Args:
        ties: Of working copies.
        homography: (T, 3, 3) ``homography_reference_frame``, right to a pixel or two.
        photo_of: Returns a frame and its mask.
        device: Where to compute.
        progress: Called with (name of the step, done, in all).

    Returns:
        The ties, those with new matches where there are any.
    """
    closer = []
    for done, tie in enumerate(ties):
        H = torch.linalg.inv(homography[tie.other]) @ homography[tie.frame]
        found = _compare_tiles(tie, photo_of(tie.frame), photo_of(tie.other), H, device)
        closer.append(found or tie)
        progress("looking closer", done + 1, len(ties))
    return closer


def _compare_tiles(
    tie: Tie, one: Photo, other: Photo, H: Tensor, device: torch.device
) -> Tie | None:
    """Return matches of two photos in tiles of the other, or ``None`` if there are none."""
    corners = _tile_corners(tie.there, image_size(other.image))
    if not corners:
        return None
    moving, fixed, valid_moving = [], [], []
    valid_fixed: list[Tensor] = []
    for top, left in corners:
        warped, seen = warp_frame(one.image, H, (top, left, TILE, TILE), valid=one.valid)
        cut = (..., slice(top, top + TILE), slice(left, left + TILE))
        moving.append(warped)
        valid_moving.append(seen)
        fixed.append(to_unit(other.image[cut])[None])
        if other.valid is not None:
            valid_fixed.append(other.valid[cut][None])
    eye = torch.eye(3, dtype=H.dtype, device=device).expand(len(corners), 3, 3)
    found = refine_homography(
        torch.cat(moving).to(device, torch.float32),
        torch.cat(fixed).to(device, torch.float32),
        eye,
        torch.cat(valid_moving).to(device),
        torch.cat(valid_fixed).to(device) if valid_fixed else None,
        levels=2,
    )
    agrees = found.success & (found.agreement >= EVIDENCE[-1][0])
    keep = (found.matches.valid & agrees[:, None]).cpu()
    if not keep.any():
        return None
    offset = torch.tensor([[left, top] for top, left in corners], dtype=torch.float64)
    here, there = (
        (points.cpu().double() + offset[:, None])[keep]
        for points in (found.matches.points0, found.matches.points1)
    )
    here = transform_points(here, torch.linalg.inv(H)).points
    return tie._replace(here=here, there=there)


def _tile_corners(points: Tensor, size: tuple[int, int]) -> list[tuple[int, int]]:
    """Return (top, left) of tiles in an image of ``size``, where there are most points (N, 2)."""
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


def adjust(
    ties: Sequence[Tie], homography: Tensor, sizes: Sequence[tuple[int, int]], reference: int
) -> Tensor:
    """Return (T, 3, 3) adjusted to all ties; what cannot be trusted stays as it was."""
    nan = float("nan")
    points0, points1 = (
        pad_sequence([_thin(p) for p in side], batch_first=True, padding_value=nan)
        for side in zip(*(tie[2:] for tie in ties), strict=True)
    )
    rows = torch.tensor([[tie.frame, tie.other] for tie in ties])
    adjusted = bundle_adjust_homographies(
        rows, points0, points1, homography, torch.tensor(sizes), reference=reference
    )
    trusted = torch.tensor(
        [
            bool(adjusted.success[t]) and plausible(adjusted.homography[t], size)
            for t, size in enumerate(sizes)
        ]
    )
    return torch.where(trusted[:, None, None], adjusted.homography, homography)


def _thin(points: Tensor) -> Tensor:
    """Return at most :data:`MOST_MATCHES` of (N, 2), evenly over the picture."""
    if len(points) <= MOST_MATCHES:
        return points
    return points[torch.linspace(0, len(points) - 1, MOST_MATCHES).long()]
