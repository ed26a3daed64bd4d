"""Diffuse and specular reflection of lights by the picture's plane, without shadows.

Functions take n lights (:meth:`RenderLights.select`) with a row of P points (n, P) each, and return
radiance (n, P) for each unit of the lights' power.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops.scene._render import microfacet
from diar_ops.scene._render.frames import RenderLights
from diar_ops.scene.bends import Surface
from diar_ops.scene.types import SPOT_BLEND, LightKind

#: Of three Gauss-Legendre points along a square's side the outer two are this far from the middle;
#: these have 5/18 of the weight, that has 8/18.
GAUSS = math.sqrt(0.15)


#: The surface of bent pictures over points of their planes.
BentSurface = Callable[[Tensor, Tensor], Surface]


class Lobes(NamedTuple):
    """K specular lobes of the picture's material, from the outside."""

    alpha: Tensor  # (K, F, 1) of GGX
    f0: Tensor  # (K, F, 1) reflectance at normal incidence
    weight: Tensor  # (K, F, P)

    def select(self, frame: Tensor) -> Lobes:
        return Lobes(*(field[:, frame] for field in self))


class ToLights(NamedTuple):
    """From points of the plane to one point of each light."""

    x: Tensor  # (n, P)
    y: Tensor
    z: Tensor  # (n, 1), or (n, P) from a bent picture
    inverse: Tensor  # (n, P), 1 / distance

    def ahead(self, direction: Tensor) -> Tensor:
        """Return the cosine (n, P) to vectors (n, 3) from the light to the point."""
        ax, ay, az = direction[:, :, None].unbind(1)
        return -(ax * self.x + ay * self.y + az * self.z) * self.inverse

    def cosine(self, surface: Surface | None = None) -> Tensor:
        """Return the cosine to the normal of plane or surface; 0 for lights behind it."""
        up = -self.z if surface is None else along_normal(surface, self.x, self.y, self.z)
        return up.clamp_min(0) * self.inverse

    def select(self, lights: slice) -> ToLights:
        return ToLights(*(field[lights] for field in self))


def along_normal(surface: Surface, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Return the part of vectors that is along the normal of a bent surface, towards the cameras."""
    steep = surface.dz_dx.square() + surface.dz_dy.square()
    return (surface.dz_dx * x + surface.dz_dy * y - z) * (1 + steep).rsqrt()


def to_lights(position: Tensor, x: Tensor, y: Tensor, z: Tensor | None = None) -> ToLights:
    """Return the way from points (..., P) of the plane, or at depth z, to positions (..., 3)."""
    px, py, pz = position[..., None].unbind(-2)
    dx, dy = px - x, py - y
    if z is not None:
        pz = pz - z
    return ToLights(dx, dy, pz, (dx * dx + dy * dy + pz * pz).rsqrt())


def sphere_diffuse(light: RenderLights, to_light: ToLights, surface: Surface | None) -> tuple[Tensor, Tensor]:
    """Return the diffuse radiance of point lights and spots, and how much of them shines there."""
    inverse = to_light.inverse
    cone = spot_falloff(to_light.ahead(light.direction), light.edge[:, None], light.size[:, None] * inverse)
    cone = cone.masked_fill((light.kind != LightKind.SPOT)[:, None], 1)
    return to_light.cosine(surface) * inverse * inverse * (1 / (4 * math.pi**2)) * cone, cone


def spot_falloff(ahead: Tensor, edge: Tensor, radius: Tensor) -> Tensor:
    """Return how much of a spot of some angular radius shines in a direction.

    Args:
        ahead: Cosine between the spot's axis and the direction.
        edge: Cosine at which its cone ends.
        radius: Radius of its sphere over the distance; every point of it shines into its own cone.
    """
    fade = (1 - edge) * (0.5 * SPOT_BLEND)
    soft = (fade * fade + (1 - edge * edge) * radius * radius).sqrt()
    x = (0.5 + (ahead - edge - fade) / (2 * soft)).clamp(0, 1)
    return x * x * torch.rsub(x, 3, alpha=2)


def square_diffuse(light: RenderLights, bent: BentSurface | None, x: Tensor, y: Tensor) -> Tensor:
    """Return the diffuse radiance of squares, by Gaussian quadrature."""
    # [n, 9, 1] for each of the points
    step = torch.arange(-1, 2, dtype=x.dtype, device=x.device)
    u, v = step.repeat_interleave(len(step))[:, None], step.repeat(len(step))[:, None]
    weight = (8 - 3 * u * u) * (8 - 3 * v * v) * (1 / (18**2 * math.pi**2))
    right, down = (side * GAUSS for side in _sides(light))
    px, py, pz = (light.position[:, None] + u * right + v * down)[..., None].unbind(2)
    ax, ay, az = light.direction[:, None, :, None].unbind(2)
    dx, dy = px - x[:, None], py - y[:, None]
    received = pz
    if bent is not None:
        surface = Surface(*(field[:, None] for field in bent(x, y)))
        pz = pz - surface.z
        received = -along_normal(surface, dx, dy, pz)
    square = dx * dx + dy * dy + pz * pz
    emitted = (ax * dx + ay * dy + az * pz).clamp_max(0)
    return (weight * received.clamp_max(0) * emitted / (square * square)).sum(1)


def reflect_lights(
    light: RenderLights,
    spheres: int,
    to_light: ToLights,
    cone: Tensor | None,
    x: Tensor,
    y: Tensor,
    view: Tensor,
    lobes: Lobes,
    surface: Surface | None = None,
) -> Tensor:
    """Return the specular radiance of lights.

    Args:
        light: n lights, first the points and spots, then the squares.
        spheres: How many there are of the former.
        to_light: The way from the points to the lights.
        cone: How much of the spheres shines there.
        x: (n, P) positions on the plane.
        y: As ``x``.
        view: (3, n, P) unit vector to the eye.
        lobes: The picture's.
        surface: At the points, where the picture is bent.
    """
    unit = torch.stack([part * to_light.inverse for part in to_light[:3]])
    h, inverse_norm, to_either = microfacet.half_vector(view, unit)
    up, facing = (-h[2], -view[2]) if surface is None else (along_normal(surface, *h), along_normal(surface, *view))
    to_normal = (up * inverse_norm).clamp_min(1e-3)
    round_lights, square_lights = slice(0, spheres), slice(spheres, None)
    shares, emitted = [], []
    if cone is not None:
        a, b, c = h[:, round_lights]
        size = light.size[round_lights, None]
        if surface is None:
            square_slope = (a * a + b * b) / (c * c).clamp_min(1e-6)
        else:
            square_slope = to_normal[round_lights] ** -2 - 1
        square_radius = (size * to_light.inverse[round_lights]) ** 2
        square_radius = square_radius / (4 * to_either[round_lights] * to_normal[round_lights] ** 3)
        shares.append(microfacet.ggx_disc(square_slope, square_radius, lobes.alpha[:, round_lights]))
        # Radiance of a sphere's surface.
        emitted.append(cone / (4 * math.pi**2 * size * size))
    if spheres < len(light.kind):
        squares = light.select(square_lights)
        part = None if surface is None else Surface(*(field[square_lights] for field in surface))
        slopes = _corner_slopes(squares, x[square_lights], y[square_lights], view[:, square_lights], part)
        shares.append(microfacet.ggx_polygon(*slopes, lobes.alpha[:, square_lights]))
        is_front = to_light.select(square_lights).ahead(squares.direction) > 0
        emitted.append(is_front / (math.pi * squares.size * squares.size)[:, None])
    half = to_either, to_normal
    reflected = _reflect(lobes, torch.cat(shares, 1), half, facing, to_light.cosine(surface))
    return reflected * torch.cat(emitted)


def _corner_slopes(
    light: RenderLights, x: Tensor, y: Tensor, view: Tensor, surface: Surface | None
) -> tuple[Tensor, Tensor]:
    """Return the slopes (n, 4, P) of the half vectors to the corners of squares, one after the other.

    On a bent surface they are the differences from its slope, as is usual for gentle bumps.
    """
    number = torch.arange(4, device=x.device)[:, None]
    u, v = ((number + 1) // 2 % 2).to(x.dtype) - 0.5, (number // 2).to(x.dtype) - 0.5
    right, down = _sides(light)
    z = None if surface is None else surface.z[:, None]
    corner = to_lights(light.position[:, None] + u * right + v * down, x[:, None], y[:, None], z)
    vx, vy, vz = view[:, :, None]
    inverse_z = 1 / (-vz - corner.z.clamp_max(-1e-3) * corner.inverse).clamp_min(1e-3)
    slopes = (vx + corner.x * corner.inverse) * inverse_z, (vy + corner.y * corner.inverse) * inverse_z
    if surface is None:
        return slopes
    return slopes[0] - surface.dz_dx[:, None], slopes[1] - surface.dz_dy[:, None]


def _sides(light: RenderLights) -> tuple[Tensor, Tensor]:
    size = light.size[:, None, None]
    return light.right[:, None] * size, light.down[:, None] * size


def _reflect(lobes: Lobes, share: Tensor, half: tuple[Tensor, Tensor], to_view: Tensor, to_light: Tensor) -> Tensor:
    """Return the specular radiance (n, P) for unit radiance of lights.

    Args:
        lobes: The picture's.
        share: (K, n, P) of their microfacets, which reflect some point of a light.
        half: (n, P) each, cosine of the half vector to view and light, and to the normal.
        to_view: (n, P) cosine between view and normal.
        to_light: (n, P) cosine between light and normal.
    """
    to_either, to_normal = half
    masked = microfacet.smith_masking(lobes.alpha, to_view, to_light)
    geometry = masked * to_either / (to_view * to_normal).clamp_min(1e-3)
    # The plane of slopes is a poor map at grazing angles: no reflection is brighter than the light.
    reflected = (share * geometry).clamp_max(1)
    return (lobes.weight * microfacet.fresnel(lobes.f0, to_either) * reflected).sum(0)
