"""Diffuse and specular reflection of one light by the picture's plane, without shadows.

Functions take n lights (:meth:`RenderLights.select`) with a row of P points (n, P) each, and return
radiance (n, P) for each unit of the lights' power.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops.scene._render import microfacet
from diar_ops.scene._render.frames import RenderLights
from diar_ops.scene._render.primitives import Vector, scale_vector
from diar_ops.scene.types import SPOT_BLEND, LightKind

#: Corners of a square.
CORNERS = ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))
#: Of three Gauss-Legendre points along its side the outer two are this far from the middle; these
#: have 5/18 of the weight, that has 8/18.
GAUSS = math.sqrt(0.15)


class Lobe(NamedTuple):
    """A specular lobe of the picture's material."""

    alpha: Tensor  # (F, 1) of GGX
    f0: Tensor  # (F, 1) reflectance at normal incidence
    weight: Tensor  # (F, P)

    def select(self, frame: Tensor) -> Lobe:
        return Lobe(self.alpha[frame], self.f0[frame], self.weight[frame])


class _ToLight(NamedTuple):
    """From points of the plane to one point of each light."""

    x: Tensor  # (n, P)
    y: Tensor
    z: Tensor  # (n, 1)
    inverse: Tensor  # (n, P), 1 / distance

    def dot(self, direction: Tensor) -> Tensor:
        """Return the dot product with vectors (n, 3), not normalised."""
        ax, ay, az = direction[:, :, None].unbind(1)
        return ax * self.x + ay * self.y + az * self.z

    def cosine(self) -> Tensor:
        """Return the cosine to the plane's normal; 0 for lights behind the plane."""
        return (-self.z).clamp_min(0) * self.inverse


class _Half(NamedTuple):
    """The half vector of view and light."""

    h: Vector  # (n, P) each, not normalised
    to_either: Tensor  # cosine to view and light
    to_normal: Tensor  # cosine to the plane's normal


def sphere_light(
    light: RenderLights, x: Tensor, y: Tensor, view: Vector, lobes: list[Lobe], *, has_spots: bool
) -> tuple[Tensor, Tensor | None]:
    """Return the diffuse radiance of point lights and spots, and the specular, if there are lobes.

    Args:
        light: n lights.
        x: (n, P) positions on the plane.
        y: As ``x``.
        view: (n, P) each, unit vector to the eye.
        lobes: The picture's.
        has_spots: Some of the lights are spots.
    """
    to_light = _to_light(light.position, x, y)
    inverse, cosine = to_light.inverse, to_light.cosine()
    diffuse = cosine * inverse * inverse * (1 / (4 * math.pi**2))
    is_spot = (light.kind == LightKind.SPOT)[:, None]
    size = light.size[:, None]
    cone: Tensor | None = None
    if has_spots:
        ahead = -to_light.dot(light.direction) * inverse
        cone = spot_falloff(ahead, light.edge[:, None], size * inverse)
        cone = torch.where(is_spot, cone, 1)
        diffuse = diffuse * cone
    if not lobes:
        return diffuse, None
    half = _half(to_light, view)
    h = half.h
    square_slope = (h[0] * h[0] + h[1] * h[1]) / (h[2] * h[2]).clamp_min(1e-6)
    square_radius = (size * inverse) ** 2 / (4 * half.to_either * half.to_normal**3)
    shares = [microfacet.ggx_disc(square_slope, square_radius, lobe.alpha) for lobe in lobes]
    # Radiance of a sphere's surface.
    specular = _reflect(lobes, shares, half, -view[2], cosine) / (4 * math.pi**2 * size * size)
    return diffuse, specular if cone is None else specular * cone


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
    return x * x * (3 - 2 * x)


def square_light_diffuse(light: RenderLights, x: Tensor, y: Tensor) -> Tensor:
    """Return the diffuse radiance of squares, by Gaussian quadrature; see :func:`sphere_light`."""
    # [n, 9, 1] for each of the points
    step = torch.arange(-1, 2, dtype=x.dtype, device=x.device)
    u, v = step.repeat_interleave(len(step))[:, None], step.repeat(len(step))[:, None]
    weight = (8 - 3 * u * u) * (8 - 3 * v * v) * (1 / (18**2 * math.pi**2))
    right, down = (side[:, None] * GAUSS for side in _sides(light))
    px, py, pz = (light.position[:, None] + u * right + v * down)[..., None].unbind(2)
    ax, ay, az = light.direction[:, None, :, None].unbind(2)
    dx, dy = px - x[:, None], py - y[:, None]
    square = dx * dx + dy * dy + pz * pz
    emitted = (ax * dx + ay * dy + az * pz).clamp_max(0)
    return (weight * pz.clamp_max(0) * emitted / (square * square)).sum(1)


def square_light_specular(light: RenderLights, x: Tensor, y: Tensor, view: Vector, lobes: list[Lobe]) -> Tensor | None:
    """Return the specular radiance of squares, None without lobes; see :func:`sphere_light`."""
    if not lobes:
        return None
    to_light = _to_light(light.position, x, y)
    right, down = _sides(light)
    slopes = []
    for u, v in CORNERS:
        corner = _to_light(light.position + u * right + v * down, x, y)
        h_x, h_y = view[0] + corner.x * corner.inverse, view[1] + corner.y * corner.inverse
        inverse_z = 1 / (-view[2] - corner.z.clamp_max(-1e-3) * corner.inverse).clamp_min(1e-3)
        slopes.append((h_x * inverse_z, h_y * inverse_z))
    shares = [microfacet.ggx_polygon(slopes, lobe.alpha) for lobe in lobes]
    specular = _reflect(lobes, shares, _half(to_light, view), -view[2], to_light.cosine())
    is_front = to_light.dot(light.direction) < 0
    return specular * is_front / (math.pi * light.size * light.size)[:, None]


def _to_light(position: Tensor, x: Tensor, y: Tensor) -> _ToLight:
    px, py, pz = position[:, :, None].unbind(1)
    dx, dy = px - x, py - y
    return _ToLight(dx, dy, pz, (dx * dx + dy * dy + pz * pz).rsqrt())


def _sides(light: RenderLights) -> tuple[Tensor, Tensor]:
    size = light.size[:, None]
    return light.right * size, light.down * size


def _half(to_light: _ToLight, view: Vector) -> _Half:
    h, inverse_norm, to_either = microfacet.half_vector(view, scale_vector(to_light[:3], to_light.inverse))
    return _Half(h, to_either, (-h[2] * inverse_norm).clamp_min(1e-3))


def _reflect(lobes: list[Lobe], shares: list[Tensor], half: _Half, to_view: Tensor, to_light: Tensor) -> Tensor:
    """Return the specular radiance (n, P) for unit radiance of lights.

    Args:
        lobes: The picture's.
        shares: For each (n, P), the share of its microfacets that reflect some point of a light.
        half: The half vector.
        to_view: (n, P) cosine between view and normal.
        to_light: (n, P) cosine between light and normal.
    """
    total = torch.zeros_like(to_light)
    for lobe, share in zip(lobes, shares, strict=True):
        masked = microfacet.smith_masking(lobe.alpha, to_view, to_light)
        geometry = masked * half.to_either / (to_view * half.to_normal).clamp_min(1e-3)
        # The plane of slopes is a poor map at grazing angles: no reflection is brighter than the
        # light.
        reflected = (share * geometry).clamp_max(1)
        total = total + lobe.weight * microfacet.fresnel(lobe.f0, half.to_either) * reflected
    return total
