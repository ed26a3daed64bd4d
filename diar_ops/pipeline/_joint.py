"""Adjust all frames that are in place jointly: each to the reference and to others beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from diar_ops._pixels import image_size
from diar_ops.geometry import bundle_adjust_homographies, refine_homography, transform_points
from diar_ops.pipeline._frames import Photo, WorkingCopy
from diar_ops.pipeline._graph import plausible
from diar_ops.pipeline._lens import Lens, known_distortion
from diar_ops.pipeline._refine import EVIDENCE, Refined, convincing, full_resolution
from diar_ops.pipeline._warp import warp_frame

__all__ = ["Adjusted", "Tie", "adjust", "look_closer", "tie_neighbours", "ties_of"]

#: Frames that each frame is compared with beside the one it was laid over.
NEIGHBOURS = 3
#: Most matches of a pair: more add time, not accuracy.
MOST_MATCHES = 2000
#: Steps that lay a frame over another one, at most: both are in place up to a pixel or two.
STEPS = 10
#: A pair shares at least this part of the reference.
LEAST_SHARED = 0.1
#: Large photos are compared in tiles of so many pixels, one in each cell of a grid.
TILE, GRID = 192, 5
#: Steps on each level there: what is left to mend is small, and with more, tiles of noise wander.
TILE_STEPS = 3
#: Matches of working copies in a cell, from which on it has a tile.
LEAST_IN_CELL = 10


class Tie(NamedTuple):
    """Where two frames show the same.

    Attributes:
        frame: Index of the one.
        other: Index of the other.
        here: (N, 2) float64 positions in the one, in full-resolution pixels, as photographed.
        there: (N, 2) in the other.
    """

    frame: int
    other: int
    here: Tensor
    there: Tensor

    @classmethod
    def of(cls, frame: int, other: int, points: tuple[Tensor, Tensor], lens: Lens) -> Tie:
        """Return the tie of undistorted points."""
        here, there = lens.bend(points[0], frame), lens.bend(points[1], other)
        return cls(frame, other, here.points, there.points)


class Adjusted(NamedTuple):
    """Where frames lie after a joint adjustment.

    Attributes:
        homography: (T, 3, 3) ``homography_reference_frame``, in undistorted pixels.
        lens: That the frames share.
        sigma: Standard deviation of its coefficient; 0 where none was estimated.
    """

    homography: Tensor
    lens: Lens
    sigma: float


def ties_of(placed: Mapping[int, Refined], lens: Lens) -> list[Tie]:
    """Return what ties frames to those that they were laid over."""
    return [Tie.of(t, found.anchor, found.points, lens) for t, found in placed.items()]


def tie_neighbours(
    placed: Mapping[int, Refined],
    shown: Mapping[int, Tensor],
    copy_of: Callable[[int], WorkingCopy],
    lens: Lens,
    progress: Callable[[str, int, int], None],
) -> list[Tie]:
    """Compare frames with those that show most of the same.

    What hides a part of the reference, or glares there, leaves a frame loosely tied to it. Other
    frames show that part.

    Args:
        placed: Frames that agree with what they were laid over, beside the reference.
        shown: Which points of a grid on the reference each of them shows, (n,) bool.
        copy_of: Returns the working copy of a frame, undistorted.
        lens: That of the frames.
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
            ties.append(Tie.of(i, j, full_resolution(found.matches, one, other), lens))
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
    adjusted: Adjusted,
    photos: Sequence[Photo],
    device: torch.device,
    progress: Callable[[str, int, int], None],
) -> list[Tie]:
    """Compare tied frames again, in tiles of their own pixels where their copies agree.

    The matches of the copies are many, those of the tiles more exact; where much of the finest
    detail is noise, they are few. Both together fix the frames best.

    Args:
        ties: Of working copies.
        adjusted: Homographies that are right to a pixel or two, and the lens.
        photos: The frames and their masks.
        device: Where to compute.
        progress: Called with (name of the step, done, in all).

    Returns:
        Ties of what agrees in the tiles, where anything does.
    """
    homography, lens, _ = adjusted
    closer = []
    for done, tie in enumerate(ties):
        H = torch.linalg.inv(homography[tie.other]) @ homography[tie.frame]
        found = _compare_tiles(tie, photos[tie.frame], photos[tie.other], H, lens, device)
        closer += [] if found is None else [found]
        progress("looking closer", done + 1, len(ties))
    return closer


def _compare_tiles(
    tie: Tie, one: Photo, other: Photo, H: Tensor, lens: Lens, device: torch.device
) -> Tie | None:
    """Return matches of two photos in tiles of the other, or ``None`` if there are none."""
    corners = _tile_corners(lens.straighten(tie.there, tie.other).points, image_size(other.image))
    if not corners:
        return None
    eye = torch.eye(3, dtype=H.dtype)
    stacks: tuple[list[Tensor], ...] = ([], [], [], [])
    for top, left in corners:
        window = (top, left, TILE, TILE)
        parts = [
            part
            for photo, to_tiles in ((one, H), (other, eye))
            for part in warp_frame(
                photo.image, to_tiles, window, valid=photo.valid, distortion=lens.distortion
            )
        ]
        for stack, part in zip(stacks, parts, strict=True):
            stack.append(part)
    moving, seen_moving, fixed, seen_fixed = (torch.cat(stack).to(device) for stack in stacks)
    found = refine_homography(
        moving.float(),
        fixed.float(),
        eye.to(device).expand(len(corners), 3, 3),
        seen_moving,
        seen_fixed,
        levels=2,
        max_iterations=TILE_STEPS,
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
    return Tie.of(tie.frame, tie.other, (here, there), lens)


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
    ties: Sequence[Tie],
    homography: Tensor,
    sizes: list[tuple[int, int]],
    reference: int,
    distortion: str = "none",
) -> Adjusted:
    """Adjust all frames to all ties; what cannot be trusted stays as it was.

    A lens that cannot be told from none is none: the views fix the homographies better without it.

    Args:
        ties: Where frames show the same.
        homography: (T, 3, 3) ``homography_reference_frame``, right to some pixels.
        sizes: (height, width) of the frames.
        reference: The reference frame.
        distortion: See :func:`bundle_adjust_homographies`.
    """
    nan = float("nan")
    points0, points1 = (
        pad_sequence([_thin(p) for p in side], batch_first=True, padding_value=nan)
        for side in zip(*(tie[2:] for tie in ties), strict=True)
    )
    rows = torch.tensor([[tie.frame, tie.other] for tie in ties])
    adjusted = bundle_adjust_homographies(
        rows,
        points0,
        points1,
        homography,
        torch.tensor(sizes),
        reference=reference,
        distortion=distortion,
    )
    k, sigma = known_distortion(adjusted), float(adjusted.distortion_sigma)
    if distortion == "shared" and k == 0:
        return adjust(ties, homography, sizes, reference)._replace(sigma=sigma)
    trusted = torch.tensor(
        [
            bool(adjusted.success[t]) and plausible(adjusted.homography[t], size)
            for t, size in enumerate(sizes)
        ]
    )
    homography = torch.where(trusted[:, None, None], adjusted.homography, homography)
    return Adjusted(homography, Lens(k, sizes), sigma)


def _thin(points: Tensor) -> Tensor:
    """Return at most :data:`MOST_MATCHES` of (N, 2), evenly over the picture."""
    if len(points) <= MOST_MATCHES:
        return points
    return points[torch.linspace(0, len(points) - 1, MOST_MATCHES).long()]
