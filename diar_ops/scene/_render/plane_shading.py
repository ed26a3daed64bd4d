"""Shade the picture's plane: direct light with shadows, and the surroundings' with occlusion."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops.scene._render.frames import RenderFrames, RenderObjects
from diar_ops.scene._render.groups import sort_into_groups, unravel
from diar_ops.scene._render.lights import Lobe, sphere_light, square_light_diffuse, square_light_specular
from diar_ops.scene._render.microfacet import directional_albedo
from diar_ops.scene._render.primitives import Vector
from diar_ops.scene._render.shadows import BeamSearch, CoarseGrid, search_beams, visibility
from diar_ops.scene.types import F0_DIELECTRIC, Finish, LightKind, ObjectKind, PictureMaterial


class PlaneShading(NamedTuple):
    """What points of the plane send to the eye.

    Attributes:
        diffuse: (F, 3, P) radiance for each unit of the wall's colour.
        base: (F, 1, P) share of that for the picture's colour, under its specular lobes.
        specular: (F, 3, P) radiance where it is the picture.
        shadowing: (F, 1, P) share of the light that would fall there which objects keep off.
    """

    diffuse: Tensor
    base: Tensor
    specular: Tensor
    shadowing: Tensor


def shade_plane(
    frames: RenderFrames, x: Tensor, y: Tensor, view: Vector, points: int, grid: CoarseGrid | None = None
) -> PlaneShading:
    """Shade points of the plane.

    Args:
        frames: F frames.
        x: (F, R, N) positions on the plane, in rows that lie together.
        y: As ``x``.
        view: (F, P) each, unit vector to the eye, P = R N.
        points: See :func:`visibility`.
        grid: Where to compute what is smooth.
    """
    lights, ambient = frames.lights, frames.ambient[:, :, None]
    search = search_beams(frames, x, y, points, has_grid=grid is not None)
    plan = _plan(frames, search)
    lobes, albedo = _lobes(frames.material, -view[2], plan)
    # [F, L, P], for each unit of power
    diffuse = x.new_zeros(*lights.valid.shape, x.shape[1] * x.shape[2])
    specular = torch.zeros_like(diffuse)
    for is_area, order in enumerate(plan.lights):
        if len(order) == 0:
            continue
        frame, slot = index = unravel(order, lights.kind.shape)
        light = lights.select(index)
        rows = x.flatten(1)[frame], y.flatten(1)[frame]
        local_view = (view[0][frame], view[1][frame], view[2][frame])
        local_lobes = [lobe.select(frame) for lobe in lobes]
        if is_area:
            given = _interpolated(partial(square_light_diffuse, light), x, y, grid, frame)
            shine = square_light_specular(light, *rows, local_view, local_lobes)
        else:
            given, shine = sphere_light(light, *rows, local_view, local_lobes, has_spots=plan.has_spots)
        diffuse = diffuse.index_put(index, given)
        if shine is not None:
            specular = specular.index_put(index, shine)
    visible: Tensor | None = None  # [F, L, 1 or 3, P]
    if search is not None and plan.beams[-1] > 0:
        visible = visibility(frames, x, y, search, plan.beams, 3 if plan.is_tinted else 1, grid).flatten(3)
    power = lights.power.mT  # [F, 3, L]
    surroundings = ambient
    if frames.objects.kind.shape[1]:
        surroundings = ambient * _interpolated(partial(_openness, frames.objects), x, y, grid)
    free = _sum_lights(power, diffuse, None)
    direct = free if visible is None else _sum_lights(power, diffuse, visible)
    total = direct + surroundings
    mirrored = surroundings * albedo
    if lobes:
        mirrored = mirrored + _sum_lights(power, specular, visible)
    unshadowed = (free + ambient).sum(1, keepdim=True).clamp_min(1e-12)
    return PlaneShading(
        diffuse=total, base=1 - albedo, specular=mirrored, shadowing=1 - total.sum(1, keepdim=True) / unshadowed
    )


def _interpolated(
    function: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    grid: CoarseGrid | None,
    frame: Tensor | None = None,
) -> Tensor:
    """Apply a smooth function of (F, P) positions on the coarse grid, if any, and interpolate."""
    if grid is not None:
        x, y = grid.x, grid.y
    shape = x.shape
    if frame is not None:
        x, y = x[frame], y[frame]
    value = function(x.flatten(1), y.flatten(1))
    if grid is None:
        return value
    value = value.reshape(*value.shape[:-1], *shape[1:])
    return (value @ grid.weights).flatten(-2)


def _sum_lights(power: Tensor, share: Tensor, visible: Tensor | None) -> Tensor:
    """Sum over lights: power (F, 3, L), share (F, L, P), visible (F, L, 1 or 3, P): (F, 3, P)."""
    if visible is None:
        return power @ share
    if visible.shape[2] == 1:
        return power @ (share * visible[:, :, 0])
    return torch.stack([(power[:, c : c + 1] @ (share * visible[:, :, c]))[:, 0] for c in range(3)], dim=1)


class _Plan(NamedTuple):
    """What the host must know before rows of points are shaded."""

    lights: tuple[Tensor, Tensor]  # flat indices (F, L) of points and spots, and of squares
    has_spots: bool
    has_coat: bool
    has_gloss: bool
    is_tinted: bool  # some beams meet tinted objects
    beams: list[int]  # bounds of the groups of beams


def _plan(frames: RenderFrames, search: BeamSearch | None) -> _Plan:
    """Ask the device, and wait for it once."""
    lights, material = frames.lights, frames.material
    kinds = sort_into_groups(torch.where(lights.valid, lights.kind == LightKind.AREA, 2), 2)
    flags = [(lights.valid & (lights.kind == LightKind.SPOT)).any(), (material.coat > 0).any()]
    flags += [(material.specular > 0).any()]
    answers = [kinds.bounds[1:], torch.stack(flags)]
    if search is not None:
        answers += [search.is_tinted[None], search.groups.bounds]
    spheres, squares, *has = torch.cat(answers).tolist()
    order = (kinds.order[:spheres], kinds.order[spheres:squares])
    return _Plan(order, *map(bool, has[:3]), is_tinted=search is not None and bool(has[3]), beams=has[4:])


def _lobes(material: PictureMaterial, to_view: Tensor, plan: _Plan) -> tuple[list[Lobe], Tensor]:
    """Return the picture's lobes, and the share (F, 1, P) of uniform light that they reflect."""
    lobes = []
    varnish = torch.full_like(material.coat, F0_DIELECTRIC)
    rest = torch.ones_like(to_view)
    if plan.has_coat:
        weight = rest * material.coat
        lobes.append(Lobe(material.coat_roughness.square().clamp_min(1e-4), varnish, weight))
        rest = rest - weight * directional_albedo(varnish, material.coat_roughness, to_view)
    if plan.has_gloss:
        f0 = 2 * F0_DIELECTRIC * material.specular
        lobes.append(Lobe(material.roughness.square().clamp_min(1e-4), f0, rest))
        rest = rest - rest * directional_albedo(f0, material.roughness, to_view)
    return lobes, (1 - rest)[:, None]


def _openness(objects: RenderObjects, x: Tensor, y: Tensor) -> Tensor:
    """Return the share (F, 3, P) of the surroundings' light that objects let through to the plane.

    An object counts as a sphere of its projected area, a sheet as a surface element.
    """
    cx, cy, cz = objects.position[..., None].unbind(2)  # [F, O, 1]
    area = (objects.area * objects.valid)[..., None]
    dx, dy = cx - x[:, None], cy - y[:, None]
    square = dx * dx + dy * dy + cz * cz
    inverse = square.rsqrt()
    cosine = (-cz).clamp_min(0) * inverse
    is_flat = (objects.kind >= ObjectKind.DISC)[..., None]
    nx, ny, nz = objects.rotation[..., 2, None].unbind(2)
    facing = torch.where(is_flat, (nx * dx + ny * dy + nz * cz).abs() * inverse, 1)
    # A surface element's form factor, that of a disc where it is near.
    factor = area * facing * cosine / (math.pi * square + torch.where(is_flat, area, 0))
    factor, kept = factor.clamp_max(1)[:, :, None], 1 - _back_radiance(objects)
    openness = torch.ones_like(x)[:, None]
    for slot in range(objects.kind.shape[1]):
        openness = openness * (1 - factor[:, slot] * kept[:, slot])
    return openness


def _back_radiance(objects: RenderObjects) -> Tensor:
    """Return the radiance (F, O, 3, 1) of objects' backs, in units of the surroundings'."""
    finish, colour = objects.finish[..., None], objects.colour
    scattered = torch.where(finish == Finish.MIRROR, 0, 0.5 * colour)
    opacity = objects.opacity[..., None] * (finish != Finish.GLASS)
    return (objects.transmittance + opacity * scattered)[..., None]
