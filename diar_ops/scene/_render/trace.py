"""Trace rays from the cameras: the plane, objects in front of it, mirrors and glass."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops.scene._render.frames import RenderFrames
from diar_ops.scene._render.object_shading import ObjectShading, shade_objects
from diar_ops.scene._render.plane_shading import PlaneShading, shade_plane
from diar_ops.scene._render.primitives import Vector, dot, scale_vector, vector
from diar_ops.scene._render.shadows import CoarseGrid
from diar_ops.scene.flags import HIGHLIGHT, SHADOW

#: Rays are worked on in rows of this many that lie together: TILE x TILE pixels.
TILE = 16
ROW = TILE * TILE
#: Offsets, in pixels and along both axes, at which the picture's colour is sampled.
TAPS = (-0.25, 0.25)
#: Points of the plane farther off than this are as good as at this distance.
FAR = 20.0


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


class ShadedPlane(NamedTuple):
    """The plane behind rays, kept for more rays through the same pixels.

    Attributes:
        shading: Where the rays meet it.
        mean: (F, 3) radiance of all of it that the frame shows.
    """

    shading: PlaneShading
    mean: Tensor


class TracedRays(NamedTuple):
    """What rays see.

    Attributes:
        radiance: (F, 3, R, N).
        visible: (F, R, N) bool, the picture is there, covered or not.
        occluded: As ``visible``, an object is in front of the plane.
        shadow: As ``visible``, see :class:`FrameFlag`.
        highlight: As ``visible``.
        surface: (F, R, N) int32, which surface is in front.
        plane: The plane behind all objects.
    """

    radiance: Tensor
    visible: Tensor
    occluded: Tensor
    shadow: Tensor
    highlight: Tensor
    surface: Tensor
    plane: ShadedPlane


def trace(
    frames: RenderFrames, pictures: Tensor, rays: Rays, points: int, plane: ShadedPlane | None = None
) -> TracedRays:
    """Trace rays through frames.

    Args:
        frames: The frames.
        pictures: (S, 3, H, W) linear, each for an equal number of frames one after the other.
        rays: Where they pass. Where they have rows of their own, each counts as a frame (F = R).
        points: See :func:`visibility`.
        plane: The plane behind the rays, if that is known already.
    """
    rows = frames if rays.frame is None else frames.select(rays.frame)
    x, y = _project_to_plane(rows, rays.u, rays.v)
    eye = rows.eye[:, :, None, None]
    ray = (x - eye[:, 0], y - eye[:, 1], -eye[:, 2])
    inside = _is_on_picture(rows, x, y)
    if plane is None:
        vx, vy, vz = scale_vector(ray, -dot(ray, ray).rsqrt())
        view = (vx.flatten(1), vy.flatten(1), vz.flatten(1))
        grid = None
        if rays.coarse is not None:
            grid = CoarseGrid(*_project_to_plane(rows, *rays.coarse[:2]), rays.coarse[2])
        shading = shade_plane(rows, x, y, view, points, grid)
    else:
        shading = plane.shading
    taps = [(x, y)]
    if rays.coarse is not None:
        taps = [_project_to_plane(rows, rays.u + i, rays.v + j) for j in TAPS for i in TAPS]
    starts = _picture_starts(rays.frame, len(frames.eye), len(pictures))
    radiance = _plane_radiance(rows, pictures, starts, taps, inside, shading)
    if plane is None:
        plane = ShadedPlane(shading, radiance.nanmean(-1))
    radiance = radiance.reshape(*radiance.shape[:2], *x.shape[1:])
    objects = shade_objects(rows, x, y, ray, plane.mean)
    objects = _add_secondary_rays(frames, pictures, objects, rays.frame)
    radiance, surface, occluded = _composite(rows, radiance, inside, objects)
    clear = ~occluded & inside
    return TracedRays(
        radiance=radiance,
        visible=inside,
        occluded=occluded,
        shadow=(shading.shadowing[:, 0] > 1 - SHADOW).reshape(x.shape) & clear,
        highlight=(shading.specular.mean(1) > HIGHLIGHT).reshape(x.shape) & clear,
        surface=surface,
        plane=plane,
    )


def pack_rows(frame: Tensor, frames: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Arrange items in rows of ``width``, each of one frame, padded with repetitions.

    Args:
        frame: (n,) of each item.
        frames: How many there are.
        width: N.

    Returns:
        The item (R, N) at each position; the frame (R,) of each row, ascending; the position, in
        the flattened rows, of each item (n,).
    """
    order = frame.argsort(stable=True)
    count = torch.bincount(frame, minlength=frames)
    rows = (count + width - 1).div(width, rounding_mode="floor")
    owner = torch.repeat_interleave(torch.arange(frames, device=frame.device), rows)
    first, start = count.cumsum(0) - count, (rows.cumsum(0) - rows) * width
    # The position within its frame's rows; what is beyond the frame's items repeats the last.
    offset = torch.arange(len(owner) * width, device=frame.device).reshape(-1, width)
    offset = torch.minimum(offset - start[owner, None], count[owner, None] - 1)
    position = torch.empty_like(order)
    ordered = frame[order]
    within = torch.arange(len(order), device=frame.device) - first[ordered]
    position[order] = start[ordered] + within
    return order[first[owner, None] + offset], owner, position


def _composite(
    frames: RenderFrames, radiance: Tensor, inside: Tensor, objects: list[ObjectShading]
) -> tuple[Tensor, Tensor, Tensor]:
    """Put objects over the plane, from the farthest to the nearest.

    Returns:
        Radiance (F, 3, R, N), surface (F, R, N) int32, and occluded (F, R, N) bool.
    """
    surface = inside.to(torch.int32)
    occluded = torch.zeros_like(inside)
    channels = torch.arange(3, device=inside.device)
    for rank in range(frames.objects.kind.shape[1]):
        for shading in objects:
            is_next = frames.objects.rank[shading.frame, shading.slot] == rank
            index = is_next.nonzero()[:, 0]
            if len(index) == 0:
                continue
            frame, row, hit = shading.frame[index], shading.row[index], shading.hit[index]
            pixels = (frame[:, None], channels, row[:, None])
            under = radiance[pixels]
            over = shading.radiance[index] + shading.transmittance[index] * under
            radiance = radiance.index_put(pixels, torch.where(hit[:, None], over, under))
            code = 2 + 4 * shading.slot[index][:, None].to(torch.int32) + shading.face[index]
            surface[frame, row] = torch.where(hit, code, surface[frame, row])
            occluded[frame, row] |= hit
    return radiance, surface, occluded


def _add_secondary_rays(
    frames: RenderFrames, pictures: Tensor, objects: list[ObjectShading], owner: Tensor | None
) -> list[ObjectShading]:
    """Add what mirrors and glass show: the plane, or the surroundings.

    ``owner`` (R,) is the frame of each row, where rows count as frames.
    """
    active = [(o.hit & (o.secondary > 0).any(1)).nonzero(as_tuple=True) for o in objects]
    if sum(len(row) for row, _ in active) == 0:
        return objects

    def gather(field: Callable[[ObjectShading], Tensor]) -> Tensor:
        return torch.cat([field(o)[index] for o, index in zip(objects, active, strict=True)])

    frame = gather(lambda o: o.frame[:, None].expand(o.hit.shape))
    frame = frame if owner is None else owner[frame]
    direction = vector(lambda i: gather(lambda o: o.direction[i]))
    origin = vector(lambda i: gather(lambda o: o.origin[i]))
    x, y, meets = _intersect_plane(origin, direction)
    index, row_frame, position = pack_rows(frame, len(frames.eye), ROW)
    rows = frames.select(row_frame)
    x, y = x[index][:, None], y[index][:, None]
    view = (-direction[0][index], -direction[1][index], (-direction[2][index]).clamp_max(-1e-2))
    # One point stands for each light: a mirrored shadow is not looked at closely.
    shading = shade_plane(rows, x, y, view, 1)
    starts = _picture_starts(row_frame, len(frames.eye), len(pictures))
    inside = _is_on_picture(rows, x, y)
    radiance = _plane_radiance(rows, pictures, starts, [(x, y)], inside, shading)
    radiance = radiance.movedim(1, 2).flatten(0, 1)[position]
    radiance = torch.where(meets[:, None], radiance, frames.ambient[frame])
    parts = torch.split(radiance, [len(row) for row, _ in active])
    shaded = []
    for o, rays, part in zip(objects, active, parts, strict=True):
        incoming = torch.zeros_like(o.radiance.movedim(1, 2)).index_put(rays, part).movedim(1, 2)
        shaded.append(o._replace(radiance=o.radiance + o.secondary * incoming))
    return shaded


def _picture_starts(rows: Tensor | None, frames: int, pictures: int) -> list[int] | None:
    """Return at which row each picture begins, and the number of rows."""
    if rows is None:
        return None
    first = torch.arange(pictures + 1, device=rows.device) * (frames // pictures)
    starts: list[int] = torch.searchsorted(rows, first).tolist()
    return starts


def _plane_radiance(
    frames: RenderFrames,
    pictures: Tensor,
    starts: list[int] | None,
    taps: list[tuple[Tensor, Tensor]],
    inside: Tensor,
    shading: PlaneShading,
) -> Tensor:
    """Return the radiance (F, 3, P) of the plane, whose colour is the mean over ``taps``."""
    half_width, half_height = frames.half_size[:, 0:1, None], frames.half_size[:, 1:2, None]
    grids = [torch.stack((x / half_width, y / half_height), dim=-1) for x, y in taps]
    if starts is None:
        colour = _sample(pictures, [grid.reshape(len(pictures), 1, -1, 2) for grid in grids])
        colour = colour.reshape(len(pictures), 3, len(frames.eye) // len(pictures), -1)
        colour = colour.movedim(1, 2).flatten(0, 1)
    else:
        parts = [
            _sample(pictures[i : i + 1], [grid[a:b].reshape(1, b - a, -1, 2) for grid in grids])
            for i, (a, b) in enumerate(pairwise(starts))
            if b > a
        ]
        colour = torch.cat([part[0].movedim(0, 1) for part in parts])
    colour = colour * shading.base
    is_picture = inside.flatten(1)[:, None]
    colour = torch.where(is_picture, colour, frames.wall[:, :, None])
    return colour * shading.diffuse + shading.specular * is_picture


def _sample(pictures: Tensor, grids: list[Tensor]) -> Tensor:
    """Return the mean of pictures at several positions; borders repeat."""
    total: Tensor | None = None
    for grid in grids:
        value = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
        total = value if total is None else total + value
    assert total is not None, "there is at least one grid"
    return total if len(grids) == 1 else total / len(grids)


def _project_to_plane(frames: RenderFrames, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Return where rays meet the plane; those that never do meet it far away."""
    m = frames.to_plane[:, :, :, None, None]
    inverse = 1 / (m[:, 2, 0] * u + m[:, 2, 1] * v + m[:, 2, 2]).clamp_min(1e-3)
    x = (m[:, 0, 0] * u + m[:, 0, 1] * v + m[:, 0, 2]) * inverse
    y = (m[:, 1, 0] * u + m[:, 1, 1] * v + m[:, 1, 2]) * inverse
    return x, y


def _intersect_plane(origin: Vector, direction: Vector) -> tuple[Tensor, Tensor, Tensor]:
    """Return where rays meet the plane (x, y), and whether they do."""
    is_down = direction[2] > 1e-3
    s = torch.where(is_down, -origin[2] / direction[2].clamp_min(1e-3), 0)
    x, y = origin[0] + s * direction[0], origin[1] + s * direction[1]
    return x.clamp(-FAR, FAR), y.clamp(-FAR, FAR), is_down


def _is_on_picture(frames: RenderFrames, x: Tensor, y: Tensor) -> Tensor:
    """Return whether points (F, R, N) of the plane are on the picture."""
    half_width, half_height = frames.half_size[:, 0:1, None], frames.half_size[:, 1:2, None]
    return (x.abs() <= half_width) & (y.abs() <= half_height)
