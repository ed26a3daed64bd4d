"""Soft shadows of objects on the picture's plane."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops._checks import widest_dtype
from diar_ops.scene._render.frames import RenderFrames
from diar_ops.scene._render.groups import Groups, blocks, sort_into_groups, unravel
from diar_ops.scene._render.primitives import Primitives, beam_coverage, select_number, to_local
from diar_ops.scene.types import LightKind, ObjectKind

#: Values that are worked on at a time: what stays in a processor's cache, and what keeps a GPU busy.
BLOCK = {"cpu": 2**16, "cuda": 2**24}
#: How large a part of a light may look, as a share of the object that hides it.
PART = 0.4
#: How wide a whole light counts for a shadow's edge, in sizes of a square and of a sphere.
WHOLE_WIDTH = (1.1, 2.0)
#: A shadow whose edge is wider than this, in pixels, is computed on the coarse grid.
SMOOTH = 8.0


def row_bounds(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return centre (F, R, 3) and radius (F, R) of a sphere around each row (F, R, N)."""
    bounds = (side.aminmax(dim=-1) for side in (x, y))
    low, high = (torch.stack(ends, dim=-1) for ends in zip(*bounds, strict=True))
    return F.pad((low + high) / 2, (0, 1)), (high - low).norm(dim=-1) / 2


def near_beam(
    start: Tensor, start_radius: Tensor, end: Tensor, end_radius: Tensor, centre: Tensor, radius: Tensor
) -> Tensor:
    """Return whether spheres come near a beam between two spheres. All broadcast, points (..., 3).

    May say yes for some that do not, never no for one that does.
    """
    axis = end - start
    square = axis.square().sum(-1).clamp_min(1e-12)
    s = (((centre - start) * axis).sum(-1) / square).clamp(0, 1)
    distance = (centre - start - s[..., None] * axis).norm(dim=-1)
    # The beam's surface is a cone: its nearest point is a little towards the wider end.
    slope = (end_radius - start_radius).square() / square
    beam_radius = start_radius + (end_radius - start_radius) * s
    near: Tensor = distance * (1 - slope).clamp_min(0).sqrt() < radius + beam_radius
    return near


class CoarseGrid(NamedTuple):
    """A coarse grid over each row of pixels, for what is smooth there.

    Attributes:
        x: (F, R, M) positions on the plane.
        y: As ``x``.
        weights: (M, N) weights that interpolate between them.
    """

    x: Tensor
    y: Tensor
    weights: Tensor


class BeamSearch(NamedTuple):
    """Where an object may hide a light from a row of points.

    Attributes:
        groups: Of all (F, L, R, O), by kind of object, on the coarse grid or not, number of parts
            of the light, and slot of the object.
        parts: (F, L, R, O) into how many parts the light is split, along each of two axes.
        is_tinted: () bool, light passes through some of these objects.
        points: The most parts.
    """

    groups: Groups
    parts: Tensor
    is_tinted: Tensor
    points: int


class _Beams(NamedTuple):
    """Rows of points from which an object may hide a light; all of length n."""

    frame: Tensor
    light: Tensor  # its slot
    row: Tensor
    slot: Tensor  # of the object


class _Sources(NamedTuple):
    """Parts of the lights of beams, one after the other: m rows."""

    beam: Tensor  # (m,), not asked for where each beam has one part
    shape: Primitives  # of the object
    source: Tensor  # (3, m, 1), in its local coordinates
    width: Tensor  # (m, 1)
    pixel: Tensor  # (m, 1)


def search_beams(frames: RenderFrames, x: Tensor, y: Tensor, points: int, *, has_grid: bool) -> BeamSearch | None:
    """Find the objects near the way from rows of points (F, R, N) to lights.

    Args:
        frames: F frames.
        x: (F, R, N) positions on the plane, in rows that lie together.
        y: As ``x``.
        points: A light is taken for at most ``points`` x ``points`` of its parts.
        has_grid: Shadows that are softer than the points of a coarse grid are apart may use it.
    """
    lights, objects = frames.lights, frames.objects
    if 0 in (lights.kind.shape[1], objects.kind.shape[1]):
        return None
    centre, reach = row_bounds(x, y)
    is_area = lights.kind == LightKind.AREA
    # A sphere is the disc of it that the object sees.
    radius = _light_radius(lights.size, is_area)
    near = near_beam(
        centre[:, None, :, None],
        (reach + frames.pixel)[:, None, :, None],
        lights.position[:, :, None, None],
        radius[:, :, None, None],
        objects.position[:, None, None],
        objects.radius[:, None, None],
    )
    near = near & objects.valid[:, None, None] & lights.valid[:, :, None, None]
    if points > 1 or has_grid:
        parts, edge = _split_lights(frames, centre, radius, points)
        on_grid = (edge > SMOOTH * frames.pixel[:, :, None, None]) & has_grid
    else:
        parts, on_grid = torch.ones_like(near, dtype=torch.int32), torch.zeros_like(near)
    slots = objects.kind.shape[1]
    slot = torch.arange(slots, dtype=torch.int32, device=x.device)
    code = objects.kind[:, None, None].to(torch.int32) * 2 + on_grid
    code = (code * points + parts - 1) * slots + slot
    groups = len(ObjectKind) * 2 * points * slots
    is_tinted = (near & (objects.transmittance > 0).any(-1)[:, None, None]).any()
    return BeamSearch(sort_into_groups(torch.where(near, code, groups), groups), parts, is_tinted, points)


def visibility(
    frames: RenderFrames,
    x: Tensor,
    y: Tensor,
    search: BeamSearch,
    bounds: list[int],
    channels: int,
    grid: CoarseGrid | None = None,
) -> Tensor:
    """Return the share of each light that reaches each point of the plane.

    Args:
        frames: F frames.
        x: (F, R, N) positions on the plane, in rows that lie together.
        y: As ``x``.
        search: What :func:`search_beams` found.
        bounds: Those of its groups.
        channels: 3 if some of the objects are tinted, otherwise 1.
        grid: Where to compute shadows that are softer than its points are apart.

    Returns:
        (F, L, channels, R, N).
    """
    objects = frames.objects
    slots = objects.kind.shape[1]
    beams = _Beams(*unravel(search.groups.order[: bounds[-1]], search.parts.shape))
    occlusion = _occlusion(frames, x, y, beams, search, bounds[::slots], grid)
    transmittance = objects.transmittance[beams.frame, beams.slot]
    passed = 1 - occlusion[:, None] * (1 - transmittance[:, :channels, None])
    visible = x.new_ones(*search.parts.shape[:2], channels, *x.shape[1:])
    # Objects of one frame one after the other: no row may be written twice at once.
    by_slot = beams.slot.argsort(stable=True)
    frame, light, row = beams.frame[by_slot], beams.light[by_slot], beams.row[by_slot]
    counts = [sum(bounds[i + 1] - bounds[i] for i in range(s, len(bounds) - 1, slots)) for s in range(slots)]
    stops = list(accumulate(counts))
    for count, stop in zip(counts, stops, strict=True):
        if count:
            part = slice(stop - count, stop)
            rows = (frame[part], light[part], slice(None), row[part])
            visible[rows] = visible[rows] * passed[by_slot[part]]
    return visible


def _split_lights(frames: RenderFrames, centre: Tensor, radius: Tensor, points: int) -> tuple[Tensor, Tensor]:
    """Return into how many parts (F, L, R, O) lights are split, along each of two axes.

    A light is split only where it looks large from the object. Also returns how wide the edge of
    one part's shadow is on the plane.
    """
    objects = frames.objects
    position, radius = frames.lights.position[:, :, None, None], radius[:, :, None, None]
    to_object = (objects.position[:, None] - centre[:, :, None]).norm(dim=-1)[:, None]
    to_light = (position - centre[:, None, :, None]).norm(dim=-1)
    fraction = (to_object / to_light).clamp_max(1)
    # Sheets are narrow where they are seen at a slant.
    toward = F.normalize(position - objects.position[:, None, None], dim=-1)
    facing = (toward * objects.rotation[:, None, None, ..., 2]).sum(-1).abs().clamp_min(0.25)
    half_size = objects.half_size[:, None, None]
    is_flat = (objects.kind >= ObjectKind.DISC)[:, None, None]
    width = torch.where(is_flat, half_size[..., :2].amin(-1) * facing, half_size.amin(-1))
    parts = (radius * fraction / (PART * width)).ceil().clamp(1, points)
    return parts.to(torch.int32), 2 * radius / parts * fraction / (1 - fraction).clamp_min(1e-3)


def _light_radius(size: Tensor, is_area: Tensor) -> Tensor:
    return torch.where(is_area, size * math.sqrt(0.5), size)


def _occlusion(
    frames: RenderFrames,
    x: Tensor,
    y: Tensor,
    beams: _Beams,
    search: BeamSearch,
    bounds: list[int],
    grid: CoarseGrid | None,
) -> Tensor:
    """Return the share (n, N) of lights that objects hide from rows of points."""
    points = search.points
    squares = [(code % points + 1) ** 2 for code in range(len(bounds) - 1)]
    ranges = list(zip(bounds[:-1], bounds[1:], squares, strict=True))
    total = sum((b - a) * square for a, b, square in ranges)
    sources = _whole_lights(frames, beams) if points == 1 else _find_sources(frames, beams, search.parts, total)
    objects, index = frames.objects, (beams.frame, beams.slot)
    to_axes = (objects.rotation[:, :, :2] / objects.half_size[:, :, None])[index]  # (n, 2, 3)
    offset = ((objects.position[:, :, None] @ objects.rotation)[:, :, 0] / objects.half_size)[index]
    points_xy = [torch.stack((x, y)), torch.stack((grid.x, grid.y)) if grid is not None else x]
    limit = BLOCK.get(x.device.type, BLOCK["cuda"])
    occlusion = []
    first = 0
    for code in range(0, len(ranges), points):
        kind, on_grid = code // points // 2, code // points % 2 == 1
        on_plane = points_xy[on_grid]
        for block in blocks(ranges[code : code + points], max(1, limit // on_plane.shape[-1])):
            start, stop = block[0][0], block[-1][1]
            last = first + sum((b - a) * square for a, b, square in block)
            end = _end_points(
                on_plane, _Beams(*(f[start:stop] for f in beams)), to_axes[start:stop], offset[start:stop]
            )
            hidden = _mean_coverage(kind, sources, slice(first, last), start, end, block)
            occlusion.append(hidden @ grid.weights if on_grid and grid is not None else hidden)
            first = last
    return torch.cat(occlusion)


def _end_points(on_plane: Tensor, beams: _Beams, to_axes: Tensor, offset: Tensor) -> Tensor:
    """Return points of the plane in the local coordinates of the objects, (3, n, N)."""
    px, py = on_plane[:, beams.frame, beams.row]
    columns = to_axes.permute(1, 2, 0)[..., None]
    end: Tensor = px * columns[0] + py * columns[1] - offset.mT[..., None]
    return end


def _mean_coverage(
    kind: int, sources: _Sources, rows: slice, start: int, end: Tensor, block: list[tuple[int, int, int]]
) -> Tensor:
    """Return the mean coverage (n, N) over the parts of each light, for objects of one kind."""
    if block[-1][2] > 1:
        beam = sources.beam[rows] - start
        end = end[:, beam]
    coverage = beam_coverage(
        kind, sources.shape.select(rows), sources.source[:, rows], end, sources.width[rows], sources.pixel[rows]
    )
    if block[-1][2] == 1:
        return coverage
    parts = torch.split(coverage, [(b - a) * square for a, b, square in block])
    return torch.cat(
        [part.reshape(-1, square, part.shape[1]).mean(1) for part, (_, _, square) in zip(parts, block, strict=True)]
    )


def _whole_lights(frames: RenderFrames, beams: _Beams) -> _Sources:
    """Return the lights of n beams, each as one part."""
    index = (beams.frame, beams.light)
    size, is_area = frames.lights.size[index], frames.lights.kind[index] == LightKind.AREA
    shape = frames.objects.primitives((beams.frame, beams.slot))
    source = to_local(shape, frames.lights.position[index])
    width = select_number(is_area, *WHOLE_WIDTH, size.dtype) * size
    return _Sources(beams.frame, shape, source, width[:, None], frames.pixel[beams.frame])


def _find_sources(frames: RenderFrames, beams: _Beams, parts: Tensor, total: int) -> _Sources:
    """Return all parts of the lights of n beams: equal parts of a square, or of a disc."""
    count = parts[tuple(beams)]  # along each axis
    stop = count.square().cumsum(0)
    number = torch.arange(total, device=parts.device)
    beam = torch.searchsorted(stop, number, right=True)
    count = count[beam]
    number = number - (stop[beam] - count.square())
    frame, light, slot = beams.frame[beam], beams.light[beam], beams.slot[beam]
    right, down, size, is_area = (field[frame, light, slot] for field in _light_axes(frames))
    # These are constants, rounded once to the dtype of the rays.
    exact = widest_dtype(count.device)
    place = torch.stack((number.div(count, rounding_mode="floor"), number % count)).to(exact)
    middle = (place + 0.5) / count - 0.5
    offset = torch.where(is_area, middle, _square_to_disc(middle)).to(size)[..., None]
    shape = frames.objects.primitives((frame, slot))
    position = frames.lights.position[frame, light]
    # Parts overlap a little, or there would be bands of light between their shadows.
    overlap = select_number(is_area, 1.15, 1.15 * math.sqrt(math.pi), exact) / count
    whole = select_number(is_area, *WHOLE_WIDTH, exact)
    width = torch.where(count == 1, whole, overlap).to(size) * size
    source = to_local(shape, position + offset[0] * right + offset[1] * down)
    return _Sources(beam, shape, source, width[:, None], frames.pixel[frame])


def _light_axes(frames: RenderFrames) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the sides (F, L, O, 3) of lights as objects see them, their sizes, and which are square."""
    lights = frames.lights
    is_area = (lights.kind == LightKind.AREA)[:, :, None, None]
    size, right, down = lights.size[:, :, None, None], lights.right[:, :, None], lights.down[:, :, None]
    toward = F.normalize(lights.position[:, :, None] - frames.objects.position[:, None], dim=-1)
    right, down = right.expand_as(toward), down.expand_as(toward)
    across = F.normalize(torch.linalg.cross(toward, down) + 1e-9, dim=-1)
    right = torch.where(is_area, right, across) * size
    down = torch.where(is_area, down, torch.linalg.cross(toward, across)) * size
    flat = toward.shape[:-1]
    return right, down, size[..., 0].expand(flat), is_area[..., 0].expand(flat)


def _square_to_disc(middle: Tensor) -> Tensor:
    """Map points (2, m) of a unit square to a unit disc, by Shirley and Chiu's map, which keeps areas."""
    a, b = middle
    is_wide = a.abs() > b.abs()
    r, s = torch.where(is_wide, a, b), torch.where(is_wide, b, a)
    angle = math.pi / 4 * s / torch.where(r == 0, 1, r)
    long, short = 2 * r * angle.cos(), 2 * r * angle.sin()
    return torch.stack((torch.where(is_wide, long, short), torch.where(is_wide, short, long)))
