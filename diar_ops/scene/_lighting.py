"""Light that lamps and surroundings bring to the picture's plane, scattered and mirrored."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops.scene._reflect import (
    albedo_of_lobe,
    disc_share,
    fresnel,
    half_vector,
    mask_share,
    square_share,
)
from diar_ops.scene._shadows import Nodes, visibility
from diar_ops.scene._solids import Vector
from diar_ops.scene._stage import Stage, Things
from diar_ops.scene.types import SPOT_BLEND, Finish, LightKind, ObjectKind

__all__ = ["VARNISH", "PlaneLight", "cone_share", "light_plane"]

#: Reflectance at the normal of an index of 1.5.
VARNISH = 0.04
#: Corners of a square, and Gauss-Legendre points along its side with their weights.
CORNERS = ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))
GAUSS = ((-math.sqrt(0.15), 5 / 18), (0.0, 8 / 18), (math.sqrt(0.15), 5 / 18))


class PlaneLight(NamedTuple):
    """What comes from points of the plane to the eye.

    Attributes:
        scattered: (F, 3, P) radiance for each unit of the wall's colour.
        kept: (F, 1, P) share of that for the picture's colour, under its shine.
        mirrored: (F, 3, P) radiance where it is the picture.
        hidden: (F, 1, P) share of the light that would fall there which something keeps off.
    """

    scattered: Tensor
    kept: Tensor
    mirrored: Tensor
    hidden: Tensor


class _Lobe(NamedTuple):
    alpha: Tensor  # (F, 1)
    f0: Tensor  # (F, 1)
    weight: Tensor  # (F, P)


def light_plane(
    stage: Stage, x: Tensor, y: Tensor, view: Vector, points: int, nodes: Nodes | None = None
) -> PlaneLight:
    """Light points of the plane.

    Args:
        stage: F frames.
        x: (F, R, N) positions on the plane, in rows that lie together.
        y: As ``x``.
        view: (F, P) each, unit vector to the eye, P = R N.
        points: See :func:`visibility`.
        nodes: Where to compute what is smooth.
    """
    flat_x, flat_y = x.flatten(1), y.flatten(1)
    lobes, bounced = _lobes(stage, -view[2])
    lamps, ambient = stage.lamps, stage.ambient[:, :, None]
    frames, slots = lamps.valid.shape
    scatter = x.new_zeros(frames, slots, flat_x.shape[1])
    mirror = x.new_zeros(frames, slots, flat_x.shape[1])
    seen: Tensor | None = None
    for is_area in (False, True):
        of_kind = (lamps.kind == LightKind.AREA) == is_area
        frame, slot = (of_kind & lamps.valid).nonzero(as_tuple=True)
        if len(frame) == 0:
            continue
        local = [_Lobe(a[frame], f0[frame], weight[frame]) for a, f0, weight in lobes]
        local_view = (view[0][frame], view[1][frame], view[2][frame])
        at_x, at_y = flat_x[frame], flat_y[frame]
        if is_area:
            given = _on_nodes(partial(_square_light, stage, frame, slot), x, y, nodes, frame)
            shine = _square_shine(stage, frame, slot, at_x, at_y, local_view, local)
        else:
            given, shine = _sphere_light(stage, frame, slot, at_x, at_y, local_view, local)
        scatter = scatter.index_put((frame, slot), given)
        if shine is not None:
            mirror = mirror.index_put((frame, slot), shine)
        shadow = visibility(stage, x, y, (frame, slot), points, nodes)
        if shadow is not None:
            if seen is None:
                seen = x.new_ones(frames, slots, shadow.shape[1], flat_x.shape[1])
            elif shadow.shape[1] > seen.shape[2]:
                seen = seen.expand(-1, -1, 3, -1)
            seen = seen.index_put((frame, slot), shadow.flatten(2).expand(-1, seen.shape[2], -1))
    power = lamps.power.mT  # (F, 3, L)
    around = ambient
    if stage.things.kind.shape[1]:
        open_ = _on_nodes(partial(_openness, stage), x, y, nodes)
        around = ambient * open_
    free = _gather(power, scatter, None)
    direct = free if seen is None else _gather(power, scatter, seen)
    scattered = direct + around
    mirrored = around * bounced
    if lobes:
        mirrored = mirrored + _gather(power, mirror, seen)
    least = (free + ambient).sum(1, keepdim=True)
    hidden = 1 - scattered.sum(1, keepdim=True) / least.clamp_min(1e-12)
    return PlaneLight(scattered, 1 - bounced, mirrored, hidden)


def _on_nodes(
    function: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    nodes: Nodes | None,
    frame: Tensor | None = None,
) -> Tensor:
    """Apply a smooth function of (F, P) positions at the nodes, if any, and interpolate."""
    if nodes is not None:
        x, y = nodes.x, nodes.y
    shape = x.shape
    if frame is not None:
        x, y = x[frame], y[frame]
    value = function(x.flatten(1), y.flatten(1))
    if nodes is None:
        return value
    value = value.reshape(*value.shape[:-1], *shape[1:])
    return (value @ nodes.spread).flatten(-2)


def _gather(power: Tensor, share: Tensor, seen: Tensor | None) -> Tensor:
    """Sum over lights: power (F, 3, L), share (F, L, P), seen (F, L, 1 or 3, P) -> (F, 3, P)."""
    if seen is None:
        return power @ share
    if seen.shape[2] == 1:
        return power @ (share * seen[:, :, 0])
    return torch.stack(
        [(power[:, c : c + 1] @ (share * seen[:, :, c]))[:, 0] for c in range(3)], dim=1
    )


def _lobes(stage: Stage, to_view: Tensor) -> tuple[list[_Lobe], Tensor]:
    """Return the lobes of the picture, and the share (F, 1, P) of even light that they reflect."""
    material = stage.material
    lobes = []
    varnish = torch.full_like(material.coat, VARNISH)
    rest = torch.ones_like(to_view)
    if bool((material.coat > 0).any()):
        weight = rest * material.coat
        lobes.append(_Lobe(material.coat_roughness.square().clamp_min(1e-4), varnish, weight))
        rest = rest - weight * albedo_of_lobe(varnish, material.coat_roughness, to_view)
    if bool((material.specular > 0).any()):
        f0 = 2 * VARNISH * material.specular
        lobes.append(_Lobe(material.roughness.square().clamp_min(1e-4), f0, rest))
        rest = rest - rest * albedo_of_lobe(f0, material.roughness, to_view)
    return lobes, (1 - rest)[:, None]


def _shine(
    lobe: _Lobe, share: Tensor, to_half: Tensor, to_view: Tensor, cos_half: Tensor, to_light: Tensor
) -> Tensor:
    """Return the radiance of a lobe for unit radiance of the light."""
    masked = mask_share(lobe.alpha, to_view, to_light)
    geometry = masked * cos_half / (to_view * to_half).clamp_min(1e-3)
    # The plane of slopes is a poor map at grazing angles: no mirror is brighter than the light.
    return lobe.weight * fresnel(lobe.f0, cos_half) * (share * geometry).clamp_max(1)


def _sphere_light(
    stage: Stage,
    frame: Tensor,
    slot: Tensor,
    x: Tensor,
    y: Tensor,
    view: Vector,
    lobes: list[_Lobe],
) -> tuple[Tensor, Tensor | None]:
    """Return, for points and spots, scattered and mirrored radiance for each unit of power."""
    lamps = stage.lamps
    at = (frame, slot)
    px, py, pz = lamps.position[at][:, :, None].unbind(1)
    dx, dy = px - x, py - y
    inverse = (dx * dx + dy * dy + pz * pz).rsqrt()
    to_light = (-pz).clamp_min(0) * inverse
    given = to_light * inverse * inverse * (1 / (4 * math.pi**2))
    cone: Tensor | None = None
    if bool((lamps.kind[at] == LightKind.SPOT).any()):
        ax, ay, az = lamps.direction[at][:, :, None].unbind(1)
        edge = lamps.edge[at][:, None]
        ahead = -(ax * dx + ay * dy + az * pz) * inverse
        cone = cone_share(ahead, edge, lamps.size[at][:, None] * inverse)
        cone = torch.where((lamps.kind[at] == LightKind.SPOT)[:, None], cone, 1)
        given = given * cone
    if not lobes:
        return given, None
    size = lamps.size[at][:, None]
    h, unit, cos_half = half_vector(view, (dx * inverse, dy * inverse, pz * inverse))
    to_half = (-h[2] * unit).clamp_min(1e-3)
    slope = (h[0] * h[0] + h[1] * h[1]) / (h[2] * h[2]).clamp_min(1e-6)
    radius = (size * inverse) ** 2 / (4 * cos_half * to_half**3)
    total = torch.zeros_like(x)
    for lobe in lobes:
        share = disc_share(slope, radius, lobe.alpha)
        total = total + _shine(lobe, share, to_half, -view[2], cos_half, to_light)
    # Radiance of a sphere's surface.
    total = total / (4 * math.pi**2 * size * size)
    return given, total if cone is None else total * cone


def cone_share(ahead: Tensor, edge: Tensor, radius: Tensor) -> Tensor:
    """Return how much of a spot of some angular radius shines in a direction.

    Args:
        ahead: Cosine between the spot's axis and the direction.
        edge: Cosine at which its cone ends.
        radius: Radius of its sphere over the distance; every point of it shines into its own cone.
    """
    fade = (1 - edge) * (0.5 * SPOT_BLEND)
    soft = (fade * fade + (1 - edge * edge) * radius * radius).sqrt()
    x = (0.5 + (ahead - edge - fade) / (2 * soft)).clamp(0, 1)
    return x * x * (3 - 2 * x)


def _square_light(stage: Stage, frame: Tensor, slot: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return the radiance that squares give white paper for each unit of power."""
    lamps = stage.lamps
    at = (frame, slot)
    size, position = lamps.size[at], lamps.position[at]
    right, down = lamps.right[at] * size[:, None], lamps.down[at] * size[:, None]
    ax, ay, az = lamps.direction[at][:, :, None].unbind(1)
    given = torch.zeros_like(x)
    for u, wide in GAUSS:
        for v, high in GAUSS:
            px, py, pz = (position + u * right + v * down)[:, :, None].unbind(1)
            dx, dy = px - x, py - y
            square = dx * dx + dy * dy + pz * pz
            emitted = -(ax * dx + ay * dy + az * pz).clamp_max(0)
            weight = wide * high * (-pz).clamp_min(0) / math.pi**2
            given = given + weight * emitted / (square * square)
    return given


def _square_shine(
    stage: Stage,
    frame: Tensor,
    slot: Tensor,
    x: Tensor,
    y: Tensor,
    view: Vector,
    lobes: list[_Lobe],
) -> Tensor | None:
    """Return, for squares, the mirrored radiance for each unit of power."""
    if not lobes:
        return None
    lamps = stage.lamps
    at = (frame, slot)
    size = lamps.size[at]
    position = lamps.position[at]
    right, down = lamps.right[at] * size[:, None], lamps.down[at] * size[:, None]
    ax, ay, az = lamps.direction[at][:, :, None].unbind(1)
    px, py, pz = position[:, :, None].unbind(1)
    dx, dy = px - x, py - y
    inverse = (dx * dx + dy * dy + pz * pz).rsqrt()
    front = (ax * dx + ay * dy + az * pz) < 0
    to_light = (-pz).clamp_min(0) * inverse
    h, unit, cos_half = half_vector(view, (dx * inverse, dy * inverse, pz * inverse))
    to_half = (-h[2] * unit).clamp_min(1e-3)
    slopes = []
    for u, v in CORNERS:
        px, py, pz = (position + u * right + v * down)[:, :, None].unbind(1)
        dx, dy = px - x, py - y
        inverse = (dx * dx + dy * dy + pz * pz).rsqrt()
        down_h = 1 / (-view[2] - pz.clamp_max(-1e-3) * inverse).clamp_min(1e-3)
        slopes.append(((view[0] + dx * inverse) * down_h, (view[1] + dy * inverse) * down_h))
    total = torch.zeros_like(x)
    for lobe in lobes:
        share = square_share(slopes, lobe.alpha)
        total = total + _shine(lobe, share, to_half, -view[2], cos_half, to_light)
    return total * front / (math.pi * size * size)[:, None]


def _openness(stage: Stage, x: Tensor, y: Tensor) -> Tensor:
    """Return the share (F, 3, P) of the surroundings' light that things let through to the plane.

    A thing counts as a sphere of the area that it hides in the mean, a sheet as a surface element.
    """
    things = stage.things
    out = torch.ones_like(x)[:, None]
    for slot in range(things.kind.shape[1]):
        cx, cy, cz = things.position[:, slot, :, None].unbind(1)
        area = (things.area[:, slot] * things.valid[:, slot])[:, None]
        dx, dy = cx - x, cy - y
        square = dx * dx + dy * dy + cz * cz
        inverse = square.rsqrt()
        cosine = (-cz).clamp_min(0) * inverse
        flat = (things.kind[:, slot] >= ObjectKind.DISC)[:, None]
        nx, ny, nz = things.rotation[:, slot, :, 2, None].unbind(1)
        facing = (nx * dx + ny * dy + nz * cz).abs() * inverse
        facing = torch.where(flat, facing, 1)
        # A surface element's form factor, that of a disc where it is near.
        factor = area * facing * cosine / (math.pi * square + torch.where(flat, area, 0))
        lost = factor.clamp_max(1)[:, None] * (1 - _glow(things, slot))
        out = out * (1 - lost)
    return out


def _glow(things: Things, slot: int) -> Tensor:
    """Return the radiance (F, 3, 1) of a thing's back, in units of the surroundings'."""
    finish, colour = things.finish[:, slot, None], things.colour[:, slot]
    clear = things.clear[:, slot]
    solid = torch.where(finish == Finish.MIRROR, 0, 0.5 * colour)
    opacity = things.opacity[:, slot, None] * (finish != Finish.GLASS)
    return (clear + opacity * solid)[:, :, None]
