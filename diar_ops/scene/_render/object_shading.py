"""Shade objects: what radiance comes back from where rays from the camera hit them."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops.scene._render import microfacet
from diar_ops.scene._render.frames import RenderFrames, RenderLights
from diar_ops.scene._render.hits import Hits
from diar_ops.scene._render.lights import spot_falloff
from diar_ops.scene._render.primitives import (
    Kind,
    by_kind,
    dot,
    intersect,
    local_normal,
    select_number,
    surface_normal,
    to_local_direction,
)
from diar_ops.scene._render.shadows import BLOCK
from diar_ops.scene.types import F0_DIELECTRIC, Finish, LightKind, ObjectKind

#: Index of refraction of glass, and its reflectance at normal incidence.
GLASS = 1.45
F0_GLASS = ((GLASS - 1) / (GLASS + 1)) ** 2


class ObjectShading(NamedTuple):
    """What n rows of N rays see of one object each.

    Attributes:
        radiance: (n, 3, N) of the object.
        transmittance: (n, 3, 1) share of what is straight behind it.
        secondary: (n, 3, N) weight of the secondary ray, mirrored or refracted.
        origin: (3, n, N) of the secondary ray.
        direction: (3, n, N) of the secondary ray.
    """

    radiance: Tensor
    transmittance: Tensor
    secondary: Tensor
    origin: Tensor
    direction: Tensor

    def select(self, rows: slice) -> ObjectShading:
        return ObjectShading(
            radiance=self.radiance[rows],
            transmittance=self.transmittance[rows],
            secondary=self.secondary[rows],
            origin=self.origin[:, rows],
            direction=self.direction[:, rows],
        )


class _Material(NamedTuple):
    """Materials of n objects."""

    colour: Tensor  # (n, 3, 1)
    roughness: Tensor  # (n, 1)
    f0: Tensor  # (n, 1)
    diffuse: Tensor  # (n, 1), share of light that is scattered
    is_mirror: Tensor  # (n, 1)
    is_glass: Tensor
    is_glossy: Tensor
    is_tinted: Tensor


def shade_objects(frames: RenderFrames, hits: Hits, plane: Tensor) -> ObjectShading:
    """Shade what rays see of all objects.

    Args:
        frames: F frames.
        hits: Where the rays hit them.
        plane: (F, 3) mean radiance of the plane, as surroundings of the objects.
    """
    count = max(
        1, BLOCK.get(plane.device.type, BLOCK["cuda"]) // (hits.hit.shape[1] * frames.lights.kind.shape[1] or 1)
    )
    starts = range(0, len(hits.frame), count)
    parts = [_shade(frames, hits.select(slice(start, start + count)), plane) for start in starts]
    radiance, transmittance, secondary, direction = (torch.cat(part, dim=-3) for part in zip(*parts, strict=True))
    shading = ObjectShading(radiance, transmittance, secondary, hits.point, direction.movedim(1, 0))
    return _refract(hits, shading) if any(stop > start for _, start, stop in hits.glass) else shading


def _shade(frames: RenderFrames, hits: Hits, plane: Tensor) -> tuple[Tensor, ...]:
    """Return radiance, transmittance, weight of the mirrored ray, and its direction."""
    frame, slot = hits.frame, hits.slot
    material = _material(frames, (frame, slot))
    colour, f0, to_view, normal = material.colour, material.f0, hits.to_view, hits.normal
    is_mirror, is_glass, is_glossy = material.is_mirror, material.is_glass, material.is_glossy

    is_specular = is_mirror | is_glass | is_glossy
    diffuse = torch.zeros_like(colour.expand(-1, -1, to_view.shape[1]))
    specular = torch.zeros_like(diffuse)
    alpha = material.roughness.square().clamp_min(1e-3)
    if frames.lights.kind.shape[1]:
        given, shine = _direct_light(frames.lights.select(frame), hits, alpha, f0)
        power = frames.lights.power[frame].mT
        diffuse, specular = power @ given, power @ shine
    # Surroundings above, the plane below.
    above, below = frames.ambient[frame][:, :, None], plane[frame][:, :, None]
    up = (0.5 - 0.5 * normal[2])[:, None]
    diffuse = diffuse + below + (above - below) * up
    reflected = 2 * to_view * normal - hits.view
    surroundings = torch.where(reflected[2][:, None] < 0, above, below)
    albedo = microfacet.directional_albedo(f0, material.roughness, to_view)
    coat = torch.where(is_glass, microfacet.fresnel(f0, to_view), albedo) * (is_glass | is_glossy)
    base = torch.where(is_glossy, 1 - albedo, 1)
    tint = torch.where(is_mirror[:, None], colour, 1)
    radiance = colour * diffuse * (material.diffuse * base)[:, None]
    radiance = radiance + tint * specular * is_specular[:, None] + surroundings * coat[:, None]

    secondary = (colour * (is_mirror | is_glass)[:, None]).expand_as(radiance)
    transmittance = frames.objects.transmittance[frame, slot][:, :, None]
    return radiance, transmittance * material.is_tinted[:, None], secondary, reflected.movedim(0, 1)


def _material(frames: RenderFrames, index: tuple[Tensor, Tensor]) -> _Material:
    objects = frames.objects
    finish = objects.finish[index][:, None]
    is_mirror, is_glass = finish == Finish.MIRROR, finish == Finish.GLASS
    is_tinted, is_glossy = finish == Finish.TINTED, finish == Finish.GLOSSY
    clear = (1 - objects.opacity[index])[:, None]
    is_flat = (objects.kind[index] >= ObjectKind.DISC)[:, None]
    # A solid has two surfaces.
    front_opacity = 1 - torch.where(is_flat, clear, clear.sqrt())
    f0 = select_number(is_glossy, F0_DIELECTRIC, 1.0, clear.dtype)
    return _Material(
        colour=objects.colour[index][:, :, None],
        roughness=objects.roughness[index][:, None],
        f0=f0.masked_fill(is_glass, F0_GLASS),
        diffuse=torch.where(is_tinted, front_opacity, (~(is_mirror | is_glass)).to(clear.dtype)),
        is_mirror=is_mirror,
        is_glass=is_glass,
        is_glossy=is_glossy,
        is_tinted=is_tinted,
    )


def _direct_light(light: RenderLights, hits: Hits, alpha: Tensor, f0: Tensor) -> tuple[Tensor, Tensor]:
    """Return diffuse and specular radiance (n, L, N) for each unit of the lights' power."""
    normal, to_view = hits.normal[:, :, None], hits.to_view[:, None]
    alpha, f0 = alpha[:, None], f0[:, None]
    offset = light.position.movedim(-1, 0)[..., None] - hits.point[:, :, None]
    inverse = (dot(offset, offset) + 1e-6).rsqrt()
    to_light = offset * inverse
    cosine = dot(normal, to_light).clamp_min(0)
    ahead = -dot(light.direction.movedim(-1, 0)[..., None], to_light)
    size = light.size[..., None]
    is_area, is_spot = ((light.kind == kind)[..., None] for kind in (LightKind.AREA, LightKind.SPOT))
    cone = torch.where(is_spot, spot_falloff(ahead, light.edge[..., None], size * inverse), 1)
    beam = torch.where(is_area, 4 * ahead.clamp_min(0), cone)
    diffuse = cosine * inverse * inverse * beam / (4 * math.pi**2)
    # A square counts as the disc of its area.
    radius = torch.where(is_area, size / math.sqrt(math.pi), size)
    h, inverse_norm, cos_half = microfacet.half_vector(hits.view[:, :, None], to_light)
    to_half = (dot(normal, h) * inverse_norm).clamp(1e-3, 1)
    square_slope = 1 / (to_half * to_half) - 1
    square_radius = (radius * inverse) ** 2 / (4 * cos_half * to_half**3)
    square_radius = square_radius * torch.where(is_area, ahead.clamp_min(0), 1)
    share = microfacet.ggx_disc(square_slope, square_radius, alpha)
    masked = microfacet.smith_masking(alpha, to_view, cosine) * cos_half
    geometry = masked / (to_view * to_half).clamp_min(1e-3)
    # The plane of slopes is a poor map at grazing angles: no reflection is brighter than the light.
    reflected = microfacet.fresnel(f0, cos_half) * (share * geometry).clamp_max(1)
    emitted = torch.where(is_area, 4 * (ahead > 0).to(ahead.dtype), cone)
    return diffuse, reflected * emitted * (cosine > 0) / (4 * math.pi**2 * radius * radius)


def _refract(hits: Hits, shading: ObjectShading) -> ObjectShading:
    """Return the shading whose secondary rays, where objects are of glass, are those that leave it."""
    for is_flat in (False, True):
        kinds = [(kind, a, b) for kind, a, b in hits.glass if b > a and (kind >= ObjectKind.DISC) == is_flat]
        if not kinds:
            continue
        rows = torch.cat([torch.arange(start, stop, device=hits.frame.device) for _, start, stop in kinds])
        stops = list(accumulate(stop - start for _, start, stop in kinds))
        kinds = [(kind, stop - (b - a), stop) for (kind, a, b), stop in zip(kinds, stops, strict=True)]
        glass = hits.select(rows)
        origin, direction, share = _cross_sheet(glass) if is_flat else _cross_solid(kinds, glass)
        shading = shading._replace(
            secondary=shading.secondary.index_put((rows,), shading.secondary[rows] * share[:, None]),
            origin=shading.origin.index_copy(1, rows, origin),
            direction=shading.direction.index_copy(1, rows, direction),
        )
    return shading


def _cross_sheet(hits: Hits) -> tuple[Tensor, Tensor, Tensor]:
    """Return origin and direction of rays that leave glass, and the share of light they carry."""
    share = 1 - microfacet.fresnel(torch.full_like(hits.to_view[:, :1], F0_GLASS), hits.to_view)
    return hits.point, -hits.view, share * share


def _cross_solid(kinds: list[Kind], hits: Hits) -> tuple[Tensor, Tensor, Tensor]:
    """Return as :func:`_cross_sheet`, for solids whose rows are sorted by kind."""
    point, view, normal, to_view = hits.point, hits.view, hits.normal, hits.to_view
    f0 = torch.full_like(to_view[:, :1], F0_GLASS)
    bend = to_view / GLASS - (1 - (1 - to_view * to_view) / GLASS**2).sqrt()
    d = bend * normal - view / GLASS
    local_d = to_local_direction(hits.shape, d)

    def meet(kind: int, rows: slice) -> tuple[Tensor, ...]:
        origin, direction = hits.local[:, rows], local_d[:, rows]
        far = intersect(kind, hits.shape.select(rows), origin, direction)[1].clamp_min(0)
        return far, local_normal(kind, origin + far * direction)

    far, n = by_kind(kinds, meet)
    n = surface_normal(hits.shape, n)
    cosine = dot(d, n).clamp(0, 1)
    square = 1 - GLASS**2 * (1 - cosine * cosine)
    # Where nothing leaves, all is reflected inside; take it to leave there unbent.
    is_total = square < 0
    root = square.clamp_min(0).sqrt()
    direction = torch.where(is_total, d - 2 * cosine * n, GLASS * d + (root - GLASS * cosine) * n)
    share = (1 - microfacet.fresnel(f0, to_view)) * torch.where(is_total, 1, 1 - microfacet.fresnel(f0, root))
    return point + far * d, direction, share
