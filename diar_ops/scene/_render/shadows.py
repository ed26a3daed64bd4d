"""Soft shadows of objects on the picture's plane."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops.scene._render.frames import RenderFrames
from diar_ops.scene._render.primitives import beam_coverage, select_number, to_local, vector
from diar_ops.scene.types import LightKind, ObjectKind

#: Rows that are worked on at a time: what stays in a processor's cache.
BLOCK = 512
#: How large a part of a light may look, as a share of the object that hides it.
PART = 0.4
#: A shadow whose edge is wider than this, in pixels, is computed on the coarse grid.
SMOOTH = 8.0


def row_bounds(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return centre (F, R, 3) and radius (F, R) of a sphere around each row (F, R, N)."""
    low = torch.stack((x.amin(-1), y.amin(-1)), dim=-1)
    high = torch.stack((x.amax(-1), y.amax(-1)), dim=-1)
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


class _Beams(NamedTuple):
    """Rows of points from which an object may hide a light; all of length n."""

    light: Tensor  # index into the lights in question
    frame: Tensor
    row: Tensor
    slot: Tensor  # of the object
    position: Tensor  # (n, 3) of the light
    right: Tensor  # (n, 3) along the light, times its size
    down: Tensor  # (n, 3)
    size: Tensor  # (n, 1)
    is_area: Tensor  # (n, 1)

    def select(self, index: Tensor) -> _Beams:
        return _Beams(*(field[index] for field in self))


def visibility(
    frames: RenderFrames,
    x: Tensor,
    y: Tensor,
    light: tuple[Tensor, Tensor],
    points: int,
    grid: CoarseGrid | None = None,
) -> Tensor | None:
    """Return the share of each light that reaches each point of the plane.

    Args:
        frames: F frames.
        x: (F, R, N) positions on the plane, in rows that lie together.
        y: As ``x``.
        light: Frame and slot of n lights.
        points: A light is taken for at most ``points`` x ``points`` of its parts.
        grid: Where to compute shadows that are softer than its points are apart.

    Returns:
        (n, 1 or 3, R, N), with three colours where an object is transparent; None where nothing
        is in the way of any light.
    """
    objects = frames.objects
    if objects.kind.shape[1] == 0 or len(light[0]) == 0:
        return None
    centre, reach = row_bounds(x, y)
    beams = _find_beams(frames, centre, reach + frames.pixel, light)
    if len(beams.frame) == 0:
        return None
    transmittance = objects.transmittance[beams.frame, beams.slot]
    channels = 3 if bool((transmittance > 0).any()) else 1
    parts, edge = _split_lights(frames, beams, centre, points)
    smooth = (edge > SMOOTH * frames.pixel[beams.frame, 0]) & (grid is not None)

    occlusion = torch.empty(len(parts), x.shape[2], dtype=x.dtype, device=x.device)
    group = (objects.kind[beams.frame, beams.slot] * points + parts - 1) * 2 + smooth
    for code in torch.unique(group).tolist():
        kind, count, on_grid = code // (2 * points), code // 2 % points + 1, bool(code % 2)
        index = (group == code).nonzero()[:, 0]
        if on_grid and grid is not None:
            coarse = _occlusion(frames, grid.x, grid.y, beams.select(index), kind, count)
            occlusion[index] = coarse @ grid.weights
            continue
        for block in index.split(BLOCK):
            occlusion[block] = _occlusion(frames, x, y, beams.select(block), kind, count)
    passed = 1 - occlusion[:, None] * (1 - transmittance[:, :channels, None])
    visible = x.new_ones(len(light[0]), x.shape[1], channels, x.shape[2])
    # Objects of one frame one after the other: no row may be written twice at once.
    for slot in range(objects.kind.shape[1]):
        index = (beams.slot == slot).nonzero()[:, 0]
        if len(index):
            rows = (beams.light[index], beams.row[index])
            visible[rows] = visible[rows] * passed[index]
    return visible.movedim(2, 1)


def _find_beams(frames: RenderFrames, centre: Tensor, reach: Tensor, light: tuple[Tensor, Tensor]) -> _Beams:
    """Return the rows with an object near the way to a light.

    A sphere is the disc of it that the object sees.
    """
    lights, objects, frame = frames.lights.select(light), frames.objects, light[0]
    is_area = lights.kind == LightKind.AREA
    radius = _light_radius(lights.size, is_area)
    # [n, R, O]
    near = near_beam(
        centre[frame][:, :, None],
        reach[frame][:, :, None],
        lights.position[:, None, None],
        radius[:, None, None],
        objects.position[frame][:, None],
        objects.radius[frame][:, None],
    )
    index, row, slot = (near & objects.valid[frame][:, None]).nonzero(as_tuple=True)
    frame, position, is_area = frame[index], lights.position[index], is_area[index, None]
    size, down = lights.size[index, None], lights.down[index]
    toward = F.normalize(position - objects.position[frame, slot], dim=-1)
    across = F.normalize(torch.linalg.cross(toward, down) + 1e-9, dim=-1)
    return _Beams(
        light=index,
        frame=frame,
        row=row,
        slot=slot,
        position=position,
        right=torch.where(is_area, lights.right[index], across) * size,
        down=torch.where(is_area, down, torch.linalg.cross(toward, across)) * size,
        size=size,
        is_area=is_area,
    )


def _split_lights(frames: RenderFrames, beams: _Beams, centre: Tensor, points: int) -> tuple[Tensor, Tensor]:
    """Return into how many parts (n,) lights are split, along each of two axes.

    A light is split only where it looks large from the object. Also returns how wide (n,) the edge
    of one part's shadow is on the plane.
    """
    objects, index = frames.objects, (beams.frame, beams.slot)
    start, position = centre[beams.frame, beams.row], beams.position
    to_object = (objects.position[index] - start).norm(dim=-1)
    fraction = (to_object / (position - start).norm(dim=-1)).clamp_max(1)
    half_size, is_flat = objects.half_size[index], objects.kind[index] >= ObjectKind.DISC
    # Sheets are narrow where they are seen at a slant.
    toward = F.normalize(position - objects.position[index], dim=-1)
    facing = (toward * objects.rotation[index][..., 2]).sum(-1).abs().clamp_min(0.25)
    width = torch.where(is_flat, half_size[:, :2].amin(-1) * facing, half_size.amin(-1))
    radius = _light_radius(beams.size, beams.is_area)[:, 0]
    parts = (radius * fraction / (PART * width)).ceil().clamp(1, points).long()
    return parts, 2 * radius / parts * fraction / (1 - fraction).clamp_min(1e-3)


def _light_radius(size: Tensor, is_area: Tensor) -> Tensor:
    return torch.where(is_area, size * math.sqrt(0.5), size)


def _occlusion(frames: RenderFrames, x: Tensor, y: Tensor, beams: _Beams, kind: int, parts: int) -> Tensor:
    """Return the share (n, N) of lights that objects of one kind hide from rows of points."""
    frame = beams.frame
    shape = frames.objects.primitives((frame, beams.slot))
    to_axes = shape.rotation[:, :2] / shape.scale[:, None]  # (n, 2, 3)
    offset = (shape.position[:, None] @ shape.rotation)[:, 0] / shape.scale
    px, py = x[frame, beams.row], y[frame, beams.row]
    end = vector(lambda i: px * to_axes[:, 0, i : i + 1] + py * to_axes[:, 1, i : i + 1] - offset[:, i : i + 1])
    square, disc, (square_width, disc_width) = _light_parts(parts)
    width = select_number(beams.is_area, square_width, disc_width) * beams.size
    pixel = frames.pixel[frame]
    total: Tensor | None = None
    for (a, b), (c, d) in zip(square, disc, strict=True):
        right = select_number(beams.is_area, a, c) * beams.right
        down = select_number(beams.is_area, b, d) * beams.down
        source = to_local(shape, beams.position + right + down)
        coverage = beam_coverage(kind, shape, source, end, width, pixel)
        total = coverage if total is None else total + coverage
    assert total is not None, "a light has at least one part"
    return total / len(square)


def _light_parts(parts: int) -> tuple[list[tuple[float, float]], list[tuple[float, float]], tuple[float, float]]:
    """Return centres of equal parts of a unit square and of a unit disc, and their widths."""
    middle = [(i + 0.5) / parts - 0.5 for i in range(parts)]
    square = [(a, b) for a in middle for b in middle]
    if parts == 1:
        return square, square, (1.1, 2.0)
    disc = []
    # Shirley and Chiu's map from the square to the disc, which keeps areas.
    for a, b in square:
        r, s = (a, b) if abs(a) > abs(b) else (b, a)
        angle = math.pi / 4 * s / r if r else 0.0
        point = (2 * r * math.cos(angle), 2 * r * math.sin(angle))
        disc.append(point if abs(a) > abs(b) else point[::-1])
    return square, disc, (1.15 / parts, 1.15 * math.sqrt(math.pi) / parts)
