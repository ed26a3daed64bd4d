"""Shade the picture's plane: direct light with shadows, and the surroundings' with occlusion."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops.scene._render.bent import surface_at
from diar_ops.scene._render.frames import RenderFrames, RenderLights, RenderObjects
from diar_ops.scene._render.groups import sort_into_groups, unravel
from diar_ops.scene._render.lights import (
    BentSurface,
    Lobes,
    along_normal,
    reflect_lights,
    sphere_diffuse,
    square_diffuse,
    to_lights,
)
from diar_ops.scene._render.microfacet import directional_albedo
from diar_ops.scene._render.shadows import BeamSearch, CoarseGrid, search_beams, visibility
from diar_ops.scene.bends import Surface, bent_surface
from diar_ops.scene.types import F0_DIELECTRIC, Bends, Finish, LightKind, ObjectKind, PictureMaterial


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
    frames: RenderFrames, x: Tensor, y: Tensor, view: Tensor, points: int, grid: CoarseGrid | None = None
) -> PlaneShading:
    """Shade points of the plane.

    Args:
        frames: F frames.
        x: (F, R, N) positions on the plane, in rows that lie together.
        y: As ``x``.
        view: (3, F, P) unit vector to the eye, P = R N.
        points: See :func:`visibility`.
        grid: Where to compute what is smooth.
    """
    lights, ambient = frames.lights, frames.ambient[:, :, None]
    search = search_beams(frames, x, y, points, has_grid=grid is not None)
    plan = _plan(frames, search)
    bent, facing = None, -view[2]
    if frames.bends is not None:
        surface = surface_at(frames, x.flatten(1), y.flatten(1))
        bent = _Bent(frames.bends, frames.half_size, surface)
        facing = along_normal(surface, *view).clamp_min(1e-2)
    lobes, albedo = _lobes(frames.material, facing, plan)
    # [F, L, P], for each unit of power
    diffuse = x.new_zeros(*lights.valid.shape, x.shape[1] * x.shape[2])
    specular = torch.zeros_like(diffuse)
    if len(plan.lights):
        index = unravel(plan.lights, lights.kind.shape)
        given, shine = _shade_lights(lights.select(index), plan.spheres, x, y, index[0], view, lobes, grid, bent)
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
    if lobes is not None:
        mirrored = mirrored + _sum_lights(power, specular, visible)
    unshadowed = (free + ambient).sum(1, keepdim=True).clamp_min(1e-12)
    return PlaneShading(
        diffuse=total, base=1 - albedo, specular=mirrored, shadowing=1 - total.sum(1, keepdim=True) / unshadowed
    )


class _Bent(NamedTuple):
    """Bent pictures of F frames."""

    bends: Bends  # (F, N)
    half_size: Tensor  # (F, 2)
    surface: Surface  # (F, P) at the points that are shaded

    def at_points(self, frame: Tensor) -> Surface:
        return Surface(*(field[frame] for field in self.surface))

    def of_rows(self, frame: Tensor) -> BentSurface:
        """Return the surface of rows of points of these frames, anywhere."""
        return partial(bent_surface, Bends(*(field[frame] for field in self.bends)), self.half_size[frame])


def _shade_lights(
    light: RenderLights,
    spheres: int,
    x: Tensor,
    y: Tensor,
    frame: Tensor,
    view: Tensor,
    lobes: Lobes | None,
    grid: CoarseGrid | None,
    bent: _Bent | None,
) -> tuple[Tensor, Tensor | None]:
    """Return diffuse and specular radiance (n, P) of n lights, of which the first are spheres."""
    px, py = x.flatten(1)[frame], y.flatten(1)[frame]
    surface = None if bent is None else bent.at_points(frame)
    to_light = to_lights(light.position, px, py, None if surface is None else surface.z)
    given, cone = [], None
    if spheres:
        few = slice(0, spheres)
        part = None if surface is None else Surface(*(field[few] for field in surface))
        radiance, cone = sphere_diffuse(light.select(few), to_light.select(few), part)
        given.append(radiance)
    if spheres < len(frame):
        rest = slice(spheres, None)
        squares = partial(square_diffuse, light.select(rest), None if bent is None else bent.of_rows(frame[rest]))
        given.append(_interpolated(squares, x, y, grid, frame[rest]))
    diffuse = torch.cat(given)
    if lobes is None:
        return diffuse, None
    return diffuse, reflect_lights(light, spheres, to_light, cone, px, py, view[:, frame], lobes.select(frame), surface)


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
    return (power[:, :, None] @ (share[:, None] * visible.transpose(1, 2)))[:, :, 0]


class _Plan(NamedTuple):
    """What the host must know before rows of points are shaded."""

    lights: Tensor  # flat indices (F, L) of points and spots, then of squares
    spheres: int  # how many there are of the former
    has_coat: bool
    has_gloss: bool
    is_tinted: bool  # some beams meet tinted objects
    beams: list[int]  # bounds of the groups of beams


def _plan(frames: RenderFrames, search: BeamSearch | None) -> _Plan:
    """Ask the device, and wait for it once."""
    lights, material = frames.lights, frames.material
    kinds = sort_into_groups(torch.where(lights.valid, lights.kind == LightKind.AREA, 2), 2)
    answers = [kinds.bounds[1:], (material.coat > 0).any()[None], (material.specular > 0).any()[None]]
    if search is not None:
        answers += [search.is_tinted[None], search.groups.bounds]
    spheres, count, has_coat, has_gloss, *found = torch.cat(answers).tolist()
    is_tinted = search is not None and bool(found[0])
    return _Plan(kinds.order[:count], spheres, bool(has_coat), bool(has_gloss), is_tinted, found[1:])


def _lobes(material: PictureMaterial, to_view: Tensor, plan: _Plan) -> tuple[Lobes | None, Tensor]:
    """Return the picture's lobes, and the share (F, 1, P) of uniform light that they reflect."""
    lobes = []
    varnish = torch.full_like(material.coat, F0_DIELECTRIC)
    rest = torch.ones_like(to_view)
    if plan.has_coat:
        weight = rest * material.coat
        lobes.append((material.coat_roughness.square().clamp_min(1e-4), varnish, weight))
        rest = rest - weight * directional_albedo(varnish, material.coat_roughness, to_view)
    if plan.has_gloss:
        f0 = 2 * F0_DIELECTRIC * material.specular
        lobes.append((material.roughness.square().clamp_min(1e-4), f0, rest))
        rest = rest - rest * directional_albedo(f0, material.roughness, to_view)
    stacked = Lobes(*(torch.stack(part) for part in zip(*lobes, strict=True))) if lobes else None
    return stacked, (1 - rest)[:, None]


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
