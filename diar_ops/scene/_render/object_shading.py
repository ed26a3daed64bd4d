"""Shade objects: where rays from the camera hit them, and what radiance comes back."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops.scene._render import microfacet
from diar_ops.scene._render.frames import RenderFrames
from diar_ops.scene._render.lights import spot_falloff
from diar_ops.scene._render.primitives import (
    Primitives,
    Vector,
    dot,
    intersect,
    scale_vector,
    select_number,
    surface_normal,
    to_local,
    to_local_direction,
    vector,
)
from diar_ops.scene._render.shadows import near_beam, row_bounds
from diar_ops.scene.types import F0_DIELECTRIC, Finish, LightKind, ObjectKind

#: Index of refraction of glass, and its reflectance at normal incidence.
GLASS = 1.45
F0_GLASS = ((GLASS - 1) / (GLASS + 1)) ** 2


class ObjectShading(NamedTuple):
    """What n rows of N rays see of one object each.

    Attributes:
        frame: (n,) of the row.
        row: (n,) of the frame.
        slot: (n,) of the object.
        hit: (n, N).
        face: (n, N) int32, different on different sides of an edge.
        radiance: (n, 3, N) of the object.
        transmittance: (n, 3, N) share of what is straight behind it.
        secondary: (n, 3, N) weight of the secondary ray, mirrored or refracted.
        origin: (n, N) each, of the secondary ray.
        direction: (n, N) each, of the secondary ray.
    """

    frame: Tensor
    row: Tensor
    slot: Tensor
    hit: Tensor
    face: Tensor
    radiance: Tensor
    transmittance: Tensor
    secondary: Tensor
    origin: Vector
    direction: Vector


class _Hits(NamedTuple):
    """Intersections of n rows of rays with objects of one kind, one object a row."""

    shape: Primitives
    hit: Tensor  # (n, N)
    face: Tensor  # (n, N)
    local: Vector  # (n, N) each, the point in local coordinates
    point: Vector  # in the world
    normal: Vector  # towards the eye where the object is flat
    view: Vector  # unit vector to the eye
    to_view: Tensor  # cosine between both

    def select(self, rows: Tensor) -> _Hits:
        return _Hits(
            shape=Primitives(*(field[rows] for field in self.shape)),
            hit=self.hit[rows],
            face=self.face[rows],
            local=vector(lambda i: self.local[i][rows]),
            point=vector(lambda i: self.point[i][rows]),
            normal=vector(lambda i: self.normal[i][rows]),
            view=vector(lambda i: self.view[i][rows]),
            to_view=self.to_view[rows],
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


def shade_objects(frames: RenderFrames, x: Tensor, y: Tensor, ray: Vector, plane: Tensor) -> list[ObjectShading]:
    """Shade what rays see of all objects, one entry for each kind that is near them.

    Args:
        frames: F frames.
        x: (F, R, N) where the rays meet the plane.
        y: As ``x``.
        ray: (F, R, N) or (F, 1, 1) each, from the eye to there.
        plane: (F, 3) mean radiance of the plane, as surroundings of the objects.
    """
    objects = frames.objects
    if objects.kind.shape[1] == 0:
        return []
    centre, reach = row_bounds(x, y)
    near = near_beam(
        centre[:, :, None],
        reach[:, :, None],
        frames.eye[:, None, None],
        torch.zeros_like(reach)[:, :, None],
        objects.position[:, None],
        objects.radius[:, None],
    )
    near = near & objects.valid[:, None]
    shadings = []
    for kind in ObjectKind:
        rows = frame, row, _ = (near & (objects.kind == kind)[:, None]).nonzero(as_tuple=True)
        if len(frame):
            rx, ry, rz = (part.expand(x.shape)[frame, row] for part in ray)
            shadings.append(_shade(frames, int(kind), rows, (rx, ry, rz), plane))
    return shadings


def _shade(frames: RenderFrames, kind: int, rows: tuple[Tensor, ...], ray: Vector, plane: Tensor) -> ObjectShading:
    """Shade objects of one kind; ``rows`` are frame, row and slot (n,), ``ray`` is (n, N)."""
    frame, row, slot = rows
    hits = _intersect(frames, kind, frame, slot, ray)
    material = _material(frames, (frame, slot), is_flat=kind >= ObjectKind.DISC)
    colour, f0, to_view, normal = material.colour, material.f0, hits.to_view, hits.normal
    is_mirror, is_glass, is_glossy = material.is_mirror, material.is_glass, material.is_glossy

    is_specular = is_mirror | is_glass | is_glossy
    diffuse = torch.zeros_like(colour.expand(-1, -1, to_view.shape[1]))
    specular = torch.zeros_like(diffuse)
    alpha = material.roughness.square().clamp_min(1e-3) if bool(is_specular.any()) else None
    for light in range(frames.lights.kind.shape[1]):
        given, shine = _direct_light(frames, (frame, light), hits, alpha, f0)
        power = frames.lights.power[frame, light][:, :, None]
        diffuse = diffuse + power * given[:, None]
        if shine is not None:
            specular = specular + power * shine[:, None]
    # Surroundings above, the plane below.
    above, below = frames.ambient[frame][:, :, None], plane[frame][:, :, None]
    up = (0.5 - 0.5 * normal[2])[:, None]
    diffuse = diffuse + below + (above - below) * up
    reflected = vector(lambda i: 2 * to_view * normal[i] - hits.view[i])
    surroundings = torch.where(reflected[2][:, None] < 0, above, below)
    albedo = microfacet.directional_albedo(f0, material.roughness, to_view)
    coat = torch.where(is_glass, microfacet.fresnel(f0, to_view), albedo) * (is_glass | is_glossy)
    base = torch.where(is_glossy, 1 - albedo, 1)
    tint = torch.where(is_mirror[:, None], colour, 1)
    radiance = colour * diffuse * (material.diffuse * base)[:, None]
    radiance = radiance + tint * specular * is_specular[:, None] + surroundings * coat[:, None]

    secondary = (colour * (is_mirror | is_glass)[:, None]).expand_as(radiance)
    origin, direction = hits.point, reflected
    glass = is_glass[:, 0].nonzero()[:, 0]
    if len(glass):
        start, refracted, share = _refract(kind, hits.select(glass))
        origin = vector(lambda i: hits.point[i].index_put((glass,), start[i]))
        direction = vector(lambda i: reflected[i].index_put((glass,), refracted[i]))
        secondary = secondary.index_put((glass,), secondary[glass] * share[:, None])
    transmittance = frames.objects.transmittance[frame, slot][:, :, None]
    return ObjectShading(
        frame=frame,
        row=row,
        slot=slot,
        hit=hits.hit,
        face=hits.face,
        radiance=radiance,
        transmittance=(transmittance * material.is_tinted[:, None]).expand_as(radiance),
        secondary=secondary,
        origin=origin,
        direction=direction,
    )


def _intersect(frames: RenderFrames, kind: int, frame: Tensor, slot: Tensor, ray: Vector) -> _Hits:
    """Intersect objects with rays from the eye; at s = 1 a ray is on the plane."""
    shape = frames.objects.primitives((frame, slot))
    eye = frames.eye[frame]
    local_eye, local_ray = to_local(shape, eye), to_local_direction(shape, ray)
    s, _, hit = intersect(kind, shape, local_eye, local_ray)
    hit = hit & (s > 0) & (s < 1)
    s = torch.where(hit, s, 0.5)
    local = vector(lambda i: local_eye[i] + s * local_ray[i])
    normal = surface_normal(kind, shape, local)
    inverse_norm = dot(ray, ray).rsqrt()
    view = vector(lambda i: -ray[i] * inverse_norm)
    to_view = dot(normal, view)
    face = torch.zeros_like(hit, dtype=torch.int32)
    if kind == ObjectKind.BOX:
        face = torch.stack([part.abs() for part in local]).argmax(0).to(torch.int32)
    elif kind == ObjectKind.CYLINDER:
        face = (local[2] ** 2 > local[0] ** 2 + local[1] ** 2).to(torch.int32)
    elif kind >= ObjectKind.DISC:
        normal = scale_vector(normal, 1 - 2 * (to_view < 0).to(s.dtype))
        to_view = to_view.abs()
    return _Hits(
        shape=shape,
        hit=hit,
        face=face,
        local=local,
        point=vector(lambda i: eye[:, i : i + 1] + s * ray[i]),
        normal=normal,
        view=view,
        to_view=to_view.clamp(1e-3, 1),
    )


def _material(frames: RenderFrames, index: tuple[Tensor, Tensor], *, is_flat: bool) -> _Material:
    objects = frames.objects
    finish = objects.finish[index][:, None]
    is_mirror, is_glass = finish == Finish.MIRROR, finish == Finish.GLASS
    is_tinted, is_glossy = finish == Finish.TINTED, finish == Finish.GLOSSY
    clear = (1 - objects.opacity[index])[:, None]
    front_opacity = 1 - (clear if is_flat else clear.sqrt())
    dtype = clear.dtype
    f0 = select_number(is_glass, F0_GLASS, select_number(is_glossy, F0_DIELECTRIC, 1.0))
    return _Material(
        colour=objects.colour[index][:, :, None],
        roughness=objects.roughness[index][:, None],
        f0=f0.to(dtype),
        diffuse=torch.where(is_tinted, front_opacity, (~(is_mirror | is_glass)).to(dtype)),
        is_mirror=is_mirror,
        is_glass=is_glass,
        is_glossy=is_glossy,
        is_tinted=is_tinted,
    )


def _direct_light(
    frames: RenderFrames, index: tuple[Tensor, int], hits: _Hits, alpha: Tensor | None, f0: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Return diffuse and specular radiance (n, N) for each unit of a light's power."""
    point, normal, to_view = hits.point, hits.normal, hits.to_view
    light = frames.lights.select(index)
    px, py, pz = light.position[:, :, None].unbind(1)
    offset = (px - point[0], py - point[1], pz - point[2])
    inverse = (dot(offset, offset) + 1e-6).rsqrt()
    to_light = scale_vector(offset, inverse)
    cosine = dot(normal, to_light).clamp_min(0)
    ax, ay, az = light.direction[:, :, None].unbind(1)
    ahead = -dot((ax, ay, az), to_light)
    size = light.size[:, None]
    is_area, is_spot = ((light.kind == kind)[:, None] for kind in (LightKind.AREA, LightKind.SPOT))
    cone = torch.where(is_spot, spot_falloff(ahead, light.edge[:, None], size * inverse), 1)
    beam = torch.where(is_area, 4 * ahead.clamp_min(0), cone)
    diffuse = cosine * inverse * inverse * beam / (4 * math.pi**2)
    if alpha is None:
        return diffuse, None
    # A square counts as the disc of its area.
    radius = torch.where(is_area, size / math.sqrt(math.pi), size)
    h, inverse_norm, cos_half = microfacet.half_vector(hits.view, to_light)
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


def _refract(kind: int, hits: _Hits) -> tuple[Vector, Vector, Tensor]:
    """Return origin and direction of rays that leave glass, and the share of light they carry."""
    point, view, normal, to_view = hits.point, hits.view, hits.normal, hits.to_view
    f0 = torch.full_like(to_view[:, :1], F0_GLASS)
    share = 1 - microfacet.fresnel(f0, to_view)
    if kind >= ObjectKind.DISC:
        return point, vector(lambda i: -view[i]), share * share
    bend = to_view / GLASS - (1 - (1 - to_view * to_view) / GLASS**2).sqrt()
    d = vector(lambda i: bend * normal[i] - view[i] / GLASS)
    local_d = to_local_direction(hits.shape, d)
    _, far, _ = intersect(kind, hits.shape, hits.local, local_d)
    far = far.clamp_min(0)
    n = surface_normal(kind, hits.shape, vector(lambda i: hits.local[i] + far * local_d[i]))
    cosine = dot(d, n).clamp(0, 1)
    square = 1 - GLASS**2 * (1 - cosine * cosine)
    # Where nothing leaves, all is reflected inside; take it to leave there unbent.
    is_total = square < 0
    root = square.clamp_min(0).sqrt()
    direction = vector(
        lambda i: torch.where(is_total, d[i] - 2 * cosine * n[i], GLASS * d[i] + (root - GLASS * cosine) * n[i])
    )
    share = share * torch.where(is_total, 1, 1 - microfacet.fresnel(f0, root))
    return vector(lambda i: point[i] + far * d[i]), direction, share
