"""Soft shadows of things on the picture's plane."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops.scene._solids import beam_cover, into, vector
from diar_ops.scene._stage import Stage, shape_of
from diar_ops.scene.types import LightKind, ObjectKind

__all__ = ["Nodes", "near_beam", "visibility"]

#: Rows that are worked on at a time: what stays in a processor's cache.
BLOCK = 512
#: How large a part of a light may look, as a share of the thing that hides it.
PART = 0.4
#: A shadow whose edge is wider than this, in pixels, is computed at the nodes.
SMOOTH = 8.0


def near_beam(
    start: Tensor,
    start_radius: Tensor,
    end: Tensor,
    end_radius: Tensor,
    centre: Tensor,
    radius: Tensor,
) -> Tensor:
    """Return whether spheres come near a beam between two spheres. All broadcast, points (..., 3).

    May say yes for some that do not, never no for one that does.
    """
    way = end - start
    square = way.square().sum(-1).clamp_min(1e-12)
    at = (((centre - start) * way).sum(-1) / square).clamp(0, 1)
    gap = (centre - start - at[..., None] * way).norm(dim=-1)
    # The beam's surface is a cone: its nearest point is a little towards the wider end.
    slope = (end_radius - start_radius).square() / square
    wide = start_radius + (end_radius - start_radius) * at
    near: Tensor = gap * (1 - slope).clamp_min(0).sqrt() < radius + wide
    return near


class Nodes(NamedTuple):
    """A coarse grid over each row of pixels, for what is smooth there.

    Attributes:
        x: (F, R, M) positions on the plane.
        y: As ``x``.
        spread: (M, N) weights that interpolate.
    """

    x: Tensor
    y: Tensor
    spread: Tensor


class _Beams(NamedTuple):
    """Rows of points of which a thing may hide a light; all of length n."""

    frame: Tensor
    row: Tensor
    item: Tensor
    position: Tensor  # (n, 3) of the light
    right: Tensor  # (n, 3) along the light, times its size
    down: Tensor  # (n, 3)
    size: Tensor
    is_area: Tensor


def visibility(
    stage: Stage,
    x: Tensor,
    y: Tensor,
    lamp: tuple[Tensor, Tensor],
    points: int,
    nodes: Nodes | None = None,
) -> Tensor | None:
    """Return the share of each light that reaches each point of the plane.

    Args:
        stage: F frames.
        x: (F, R, N) positions on the plane, in rows that lie together.
        y: As ``x``.
        lamp: Frame and slot of n lights.
        points: A light is taken for at most ``points`` x ``points`` of its parts.
        nodes: Where to compute shadows that are softer than these are apart.

    Returns:
        (n, 1 or 3, R, N), with three colours where a thing is clear; None where nothing is in
        the way of any light.
    """
    things, lamps = stage.things, stage.lamps
    if things.kind.shape[1] == 0 or len(lamp[0]) == 0:
        return None
    frame = lamp[0]
    low = torch.stack((x.amin(-1), y.amin(-1)), dim=-1)
    high = torch.stack((x.amax(-1), y.amax(-1)), dim=-1)
    centre = F.pad((low + high) / 2, (0, 1))
    reach = (high - low).norm(dim=-1) / 2 + stage.pixel
    position, size = lamps.position[lamp], lamps.size[lamp]
    is_area = lamps.kind[lamp] == LightKind.AREA
    radius = torch.where(is_area, size * math.sqrt(0.5), size)
    # (n, R, O): does a thing come between the row and the light?
    hit = (
        near_beam(
            centre[frame][:, :, None],
            reach[frame][:, :, None],
            position[:, None, None],
            radius[:, None, None],
            things.position[frame][:, None],
            things.radius[frame][:, None],
        )
        & things.valid[frame][:, None]
    )
    entry, row, item = hit.nonzero(as_tuple=True)
    if len(entry) == 0:
        return None
    at = (frame[entry], item)
    clear = things.clear[at]
    coloured = bool((clear > 0).any())
    out = x.new_ones(len(frame), x.shape[1], 3 if coloured else 1, x.shape[2])

    # Light needs to be split only where it looks large from the thing.
    start = centre[frame[entry], row]
    to_thing = (things.position[at] - start).norm(dim=-1)
    way = (to_thing / (position[entry] - start).norm(dim=-1)).clamp_max(1)
    half = things.scale[at]
    flat = things.kind[at] >= ObjectKind.DISC
    # Sheets are narrow where they are seen at a slant.
    toward = F.normalize(position[entry] - things.position[at], dim=-1)
    facing = (toward * things.rotation[at][..., 2]).sum(-1).abs().clamp_min(0.25)
    slim = torch.where(flat, half[:, :2].amin(-1) * facing, half.amin(-1))
    split = (radius[entry] * way / (PART * slim)).ceil().clamp(1, points).long()
    # How wide the edge of a part's shadow is on the plane.
    edge = 2 * radius[entry] / split * way / (1 - way).clamp_min(1e-3)
    smooth = (edge > SMOOTH * stage.pixel[frame[entry], 0]) & (nodes is not None)
    beams = _beams(stage, lamp, entry, row, item)
    blocked = torch.empty(len(entry), x.shape[2], dtype=x.dtype, device=x.device)
    group = (things.kind[at] * points + split - 1) * 2 + smooth
    for code in group.unique().tolist():
        kind, parts, coarse = code // (2 * points), code // 2 % points + 1, bool(code % 2)
        chosen = (group == code).nonzero()[:, 0]
        if coarse and nodes is not None:
            some = _Beams(*(field[chosen] for field in beams))
            blocked[chosen] = _blocked(stage, nodes.x, nodes.y, some, kind, parts) @ nodes.spread
            continue
        for part in chosen.split(BLOCK):
            some = _Beams(*(field[part] for field in beams))
            blocked[part] = _blocked(stage, x, y, some, kind, parts)
    passed = 1 - blocked[:, None] * (1 - clear[:, : out.shape[2], None])
    # Things of one frame one after the other: no row may be written twice at once.
    for thing in range(things.kind.shape[1]):
        mine = (item == thing).nonzero()[:, 0]
        if len(mine):
            place = (entry[mine], row[mine])
            out[place] = out[place] * passed[mine]
    return out.movedim(2, 1)


def _beams(
    stage: Stage, lamp: tuple[Tensor, Tensor], entry: Tensor, row: Tensor, item: Tensor
) -> _Beams:
    """Collect what decides about each beam; a sphere is the disc of it that the thing sees."""
    lamps, frame = stage.lamps, lamp[0][entry]
    at = (frame, lamp[1][entry])
    position, size = lamps.position[at], lamps.size[at][:, None]
    is_area = (lamps.kind[at] == LightKind.AREA)[:, None]
    toward = F.normalize(position - stage.things.position[frame, item], dim=-1)
    across = F.normalize(torch.linalg.cross(toward, lamps.down[at]) + 1e-9, dim=-1)
    right = torch.where(is_area, lamps.right[at], across)
    down = torch.where(is_area, lamps.down[at], torch.linalg.cross(toward, across))
    return _Beams(frame, row, item, position, right * size, down * size, size, is_area)


def _blocked(stage: Stage, x: Tensor, y: Tensor, beams: _Beams, kind: int, parts: int) -> Tensor:
    """Return which share (n, N) of lights things of one kind hide from rows of points."""
    frame = beams.frame
    shape = shape_of(stage.things, (frame, beams.item))
    turn = shape.rotation[:, :2] / shape.scale[:, None]  # (n, 2, 3)
    base = (shape.position[:, None] @ shape.rotation)[:, 0] / shape.scale
    px, py = x[frame, beams.row], y[frame, beams.row]
    end = vector(
        lambda i: px * turn[:, 0, i : i + 1] + py * turn[:, 1, i : i + 1] - base[:, i : i + 1]
    )
    square, disc, (wide_square, wide_disc) = _parts(parts)
    wide = torch.where(beams.is_area, wide_square, wide_disc) * beams.size
    pixel = stage.pixel[frame]
    total: Tensor | None = None
    for (a, b), (c, d) in zip(square, disc, strict=True):
        right = torch.where(beams.is_area, a, c) * beams.right
        down = torch.where(beams.is_area, b, d) * beams.down
        source = into(shape, beams.position + right + down)
        cover = beam_cover(kind, shape, source, end, wide, pixel)
        total = cover if total is None else total + cover
    assert total is not None, "a light has at least one part"
    return total / len(square)


def _parts(
    parts: int,
) -> tuple[list[tuple[float, float]], list[tuple[float, float]], tuple[float, float]]:
    """Return middles of equal parts of a unit square and of a unit disc, and how wide they are."""
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
