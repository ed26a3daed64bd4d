"""Follow rays from the cameras: plane, things in front of it, mirrors and glass."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops.scene._lighting import PlaneLight, light_plane
from diar_ops.scene._looks import Looks, looks_of, meet_plane
from diar_ops.scene._shadows import Nodes
from diar_ops.scene._solids import vector
from diar_ops.scene._stage import Stage
from diar_ops.scene.flags import HIGHLIGHT, SHADOW

__all__ = ["ROW", "TILE", "Plane", "Rays", "Seen", "pack", "trace"]

#: Rays are worked on in rows of this many that lie together: TILE x TILE pixels.
TILE = 16
ROW = TILE * TILE
#: Offsets, in pixels and along both axes, at which the picture's colour is taken.
TAPS = (-0.25, 0.25)


class Rays(NamedTuple):
    """Where rays pass through frames, in pixels from their centres.

    Attributes:
        u: (1, R, N) to the right, the same for all frames; or (R, 1, N), each row of one frame.
        v: As ``u``, down.
        frame: (R,) of each row, ascending; None where all frames have the same.
        coarse: For whole pixels in tiles: ``u`` and ``v`` of nodes (1, R, M) in each tile, and
            the weights (M, N) that interpolate between them.
    """

    u: Tensor
    v: Tensor
    frame: Tensor | None = None
    coarse: tuple[Tensor, Tensor, Tensor] | None = None


class Plane(NamedTuple):
    """What is on the plane.

    Attributes:
        light: Where the rays meet it.
        mean: (F, 3) radiance of all of it that the frame shows.
    """

    light: PlaneLight
    mean: Tensor


class Seen(NamedTuple):
    """What rays see.

    Attributes:
        radiance: (F, 3, R, N).
        surface: (F, R, N) int32, which surface is in front.
        visible: (F, R, N) bool, the picture is there, covered or not.
        occluded: As ``visible``, a thing is in front of the plane.
        shadow: As ``visible``, see :class:`FrameFlag`.
        highlight: As ``visible``.
        plane: What is on the plane.
    """

    radiance: Tensor
    surface: Tensor
    visible: Tensor
    occluded: Tensor
    shadow: Tensor
    highlight: Tensor
    plane: Plane


def trace(
    base: Stage, pictures: Tensor, rays: Rays, points: int, plane: Plane | None = None
) -> Seen:
    """Follow rays through frames.

    Args:
        base: The frames.
        pictures: (S, 3, H, W) linear, each for an equal number of frames one after the other.
        rays: Where they pass. Where they have rows of their own, each counts as a frame (F = R).
        points: See :func:`visibility`.
        plane: What is where they meet the plane, if that is known already.
    """
    stage = base if rays.frame is None else base.take(rays.frame)
    bounds = _bounds(rays.frame, len(base.eye), len(pictures))
    x, y = _on_plane(stage, rays.u, rays.v)
    eye = stage.eye[:, :, None, None]
    ray = (x - eye[:, 0], y - eye[:, 1], -eye[:, 2])
    inside = _is_inside(stage, x, y)
    if plane is not None:
        light = plane.light
    else:
        inverse = -(ray[0] * ray[0] + ray[1] * ray[1] + ray[2] * ray[2]).rsqrt()
        to_eye = (
            (ray[0] * inverse).flatten(1),
            (ray[1] * inverse).flatten(1),
            (ray[2] * inverse).flatten(1),
        )
        nodes = None
        if rays.coarse is not None:
            nodes = Nodes(*_on_plane(stage, *rays.coarse[:2]), rays.coarse[2])
        light = light_plane(stage, x, y, to_eye, points, nodes)
    taps = [(x, y)]
    if rays.coarse is not None:
        taps = [_on_plane(stage, rays.u + i, rays.v + j) for j in TAPS for i in TAPS]
    radiance = _radiance(stage, pictures, bounds, taps, inside, light)
    mean = radiance.nanmean(-1) if plane is None else plane.mean
    radiance = radiance.reshape(*radiance.shape[:2], *x.shape[1:])
    shadow = (light.hidden[:, 0] > 1 - SHADOW).reshape(x.shape) & inside
    highlight = (light.mirrored.mean(1) > HIGHLIGHT).reshape(x.shape) & inside
    surface = inside.to(torch.int32)
    occluded = torch.zeros_like(inside)
    looks = _look_on(base, pictures, looks_of(stage, x, y, ray, mean), rays.frame)
    colours = torch.arange(3, device=x.device)
    # From the farthest thing to the nearest.
    for rank in range(stage.things.kind.shape[1]):
        for look in looks:
            mine = (stage.things.rank[look.frame, look.item] == rank).nonzero()[:, 0]
            if len(mine) == 0:
                continue
            frame, row, hit = look.frame[mine], look.row[mine], look.hit[mine]
            at = (frame[:, None], colours, row[:, None])
            under = radiance[at]
            over = look.radiance[mine] + look.passes[mine] * under
            radiance = radiance.index_put(at, torch.where(hit[:, None], over, under))
            code = 2 + 4 * look.item[mine][:, None].to(torch.int32) + look.face[mine]
            surface[frame, row] = torch.where(hit, code, surface[frame, row])
            occluded[frame, row] |= hit
    clear = ~occluded
    return Seen(
        radiance, surface, inside, occluded, shadow & clear, highlight & clear, Plane(light, mean)
    )


def pack(frame: Tensor, frames: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Arrange items in rows of ``width``, each of one frame, filled up with repetitions.

    Args:
        frame: (n,) of each item.
        frames: How many there are.
        width: N.

    Returns:
        Which item (R, N) is where; the frame (R,) of each row, ascending; at which place in the
        first, flat, each item (n,) is.
    """
    order = frame.argsort(stable=True)
    count = torch.bincount(frame, minlength=frames)
    rows = (count + width - 1).div(width, rounding_mode="floor")
    owner = torch.repeat_interleave(torch.arange(frames, device=frame.device), rows)
    first, start = count.cumsum(0) - count, (rows.cumsum(0) - rows) * width
    # Where in its frame's part of the rows each place is; what is beyond its items repeats one.
    place = torch.arange(len(owner) * width, device=frame.device).reshape(-1, width)
    place = torch.minimum(place - start[owner, None], count[owner, None] - 1)
    slot = torch.empty_like(order)
    ordered = frame[order]
    within = torch.arange(len(order), device=frame.device) - first[ordered]
    slot[order] = start[ordered] + within
    return order[first[owner, None] + place], owner, slot


def _look_on(
    base: Stage, pictures: Tensor, looks: list[Looks], owner: Tensor | None
) -> list[Looks]:
    """Add what is seen in mirrors and through glass: the plane, or the surroundings."""
    wanted = [(look.hit & (look.onward > 0).any(1)).nonzero(as_tuple=True) for look in looks]
    if sum(len(entry) for entry, _ in wanted) == 0:
        return looks

    def picked(field: Callable[[Looks], Tensor]) -> Tensor:
        return torch.cat([field(look)[at] for look, at in zip(looks, wanted, strict=True)])

    frame = picked(lambda look: look.frame[:, None].expand(look.hit.shape))
    frame = frame if owner is None else owner[frame]
    ahead = vector(lambda i: picked(lambda look: look.ahead[i]))
    point = vector(lambda i: picked(lambda look: look.point[i]))
    x, y, meets = meet_plane(point, ahead)
    index, rows, slot = pack(frame, len(base.eye), ROW)
    stage = base.take(rows)
    x, y = x[index][:, None], y[index][:, None]
    to_eye = (-ahead[0][index], -ahead[1][index], (-ahead[2][index]).clamp_max(-1e-2))
    # One point stands for each light: what is bent is not looked at closely.
    light = light_plane(stage, x, y, to_eye, 1)
    bounds = _bounds(rows, len(base.eye), len(pictures))
    radiance = _radiance(stage, pictures, bounds, [(x, y)], _is_inside(stage, x, y), light)
    radiance = radiance.movedim(1, 2).flatten(0, 1)[slot]
    radiance = torch.where(meets[:, None], radiance, base.ambient[frame])
    found = []
    parts = torch.split(radiance, [len(entry) for entry, _ in wanted])
    for look, at, part in zip(looks, wanted, parts, strict=True):
        seen = torch.zeros_like(look.radiance.movedim(1, 2)).index_put(at, part).movedim(1, 2)
        found.append(look._replace(radiance=look.radiance + look.onward * seen))
    return found


def _bounds(rows: Tensor | None, frames: int, pictures: int) -> list[int] | None:
    """Return at which row each picture begins, and the number of rows."""
    if rows is None:
        return None
    first = torch.arange(pictures + 1, device=rows.device) * (frames // pictures)
    starts: list[int] = torch.searchsorted(rows, first).tolist()
    return starts


def _radiance(
    stage: Stage,
    pictures: Tensor,
    bounds: list[int] | None,
    taps: list[tuple[Tensor, Tensor]],
    inside: Tensor,
    light: PlaneLight,
) -> Tensor:
    """Return what the plane sends to the eye, (F, 3, P)."""
    grids = [
        torch.stack((x / stage.half[:, 0:1, None], y / stage.half[:, 1:2, None]), dim=-1)
        for x, y in taps
    ]
    if bounds is None:
        colour = _sample(pictures, [grid.reshape(len(pictures), 1, -1, 2) for grid in grids])
        colour = colour.reshape(len(pictures), 3, len(stage.eye) // len(pictures), -1)
        colour = colour.movedim(1, 2).flatten(0, 1)
    else:
        parts = [
            _sample(pictures[i : i + 1], [grid[a:b].reshape(1, b - a, -1, 2) for grid in grids])
            for i, (a, b) in enumerate(pairwise(bounds))
            if b > a
        ]
        colour = torch.cat([part[0].movedim(0, 1) for part in parts])
    colour = colour * light.kept
    at_picture = inside.flatten(1)[:, None]
    colour = torch.where(at_picture, colour, stage.wall[:, :, None])
    return colour * light.scattered + light.mirrored * at_picture


def _sample(pictures: Tensor, grids: list[Tensor]) -> Tensor:
    """Return the mean of pictures at several places; borders repeat."""
    total: Tensor | None = None
    for grid in grids:
        value = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
        total = value if total is None else total + value
    assert total is not None, "there is at least one grid"
    return total if len(grids) == 1 else total / len(grids)


def _on_plane(stage: Stage, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Return where rays meet the plane; those that never do meet it far away."""
    m = stage.to_plane[:, :, :, None, None]
    inverse = 1 / (m[:, 2, 0] * u + m[:, 2, 1] * v + m[:, 2, 2]).clamp_min(1e-3)
    x = (m[:, 0, 0] * u + m[:, 0, 1] * v + m[:, 0, 2]) * inverse
    y = (m[:, 1, 0] * u + m[:, 1, 1] * v + m[:, 1, 2]) * inverse
    return x, y


def _is_inside(stage: Stage, x: Tensor, y: Tensor) -> Tensor:
    """Return whether points (F, R, N) of the plane are on the picture."""
    return (x.abs() <= stage.half[:, 0:1, None]) & (y.abs() <= stage.half[:, 1:2, None])
