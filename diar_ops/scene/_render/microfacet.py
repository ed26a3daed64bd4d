"""Microfacet reflection: Fresnel, and a GGX lobe integrated over a whole light in closed form.

The half vectors between the viewer and the points of a light, written as slopes (the tangent of
their angle to the normal, in two directions), fill a small figure: a disc for a sphere, a
quadrilateral for a square. In slopes the microfacets of GGX have the density
alpha^2 / (pi (alpha^2 + s^2)^2). This is the form factor of a surface element at height alpha
above the plane of slopes, so its integral over a disc or a polygon is the classical one.

Sources: Walter et al., Microfacet models for refraction, 2007 (GGX, its slopes, Smith's G);
Lambert's formula for polygons as in Baum et al., 1989; Karis, Physically based shading on mobile,
2014 (the albedo of a lobe); Schlick 1994.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diar_ops.scene._render.primitives import TINY, dot


def fresnel(f0: Tensor, cosine: Tensor) -> Tensor:
    """Return Schlick's reflectance; below 2 % at the normal it also fades at grazing angles."""
    x = (1 - cosine).clamp(0, 1)
    square = x * x
    top = (50 * f0).clamp_max(1)
    return f0 + (top - f0) * (square * square * x)


def directional_albedo(f0: Tensor, roughness: Tensor, cosine: Tensor) -> Tensor:
    """Return the share of uniform light that a lobe reflects towards a viewer."""
    r = roughness
    grazing = torch.minimum((1 - r) ** 2, torch.exp2(-9.28 * cosine)) * (1 - r)
    a = grazing + 0.0425 - 0.0275 * r
    scale = 1.04 - 0.572 * r - 1.04 * a
    shift = 0.022 * r - 0.04 + 1.04 * a
    top = (50 * f0).clamp_max(1)
    return (f0 * scale + top * shift).clamp(0, 1)


def half_vector(view: Tensor, light: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return h = view + light (not normalised), 1 / |h|, and the cosine between h and either."""
    h = view + light
    inverse = (dot(h, h) + TINY).rsqrt()
    # |view + light| = 2 cos of half the angle between two unit vectors.
    return h, inverse, 0.5 / inverse


def smith_masking(alpha: Tensor, to_view: Tensor, to_light: Tensor) -> Tensor:
    """Return Smith's G, height-correlated: the share of microfacets that both see."""
    a2 = alpha * alpha
    view = to_light * (to_view * to_view * (1 - a2) + a2).sqrt()
    light = to_view * (to_light * to_light * (1 - a2) + a2).sqrt()
    return 2 * to_view * to_light / (view + light + TINY)


def ggx_disc(square_slope: Tensor, square_radius: Tensor, alpha: Tensor) -> Tensor:
    """Return the share of microfacets whose slopes are in a disc.

    Args:
        square_slope: Squared distance of the disc's centre from slope zero.
        square_radius: Its squared radius.
        alpha: Of GGX.
    """
    a2 = alpha * alpha
    inside = a2 + square_slope - square_radius
    product = 4 * a2 * square_radius
    root = (inside * inside + product).sqrt()
    # The smaller of both solutions without cancellation; it is the share outside where inside < 0.
    small = 0.5 * product / (root * (root + inside.abs()) + TINY * TINY)
    return torch.where(inside > 0, small, 1 - small)


def ggx_polygon(x: Tensor, y: Tensor, alpha: Tensor) -> Tensor:
    """Return the share (K, n, P) of microfacets whose slopes are in polygons.

    Args:
        x: (n, C, P) slopes of the corners, one after the other.
        y: As ``x``.
        alpha: (K, n, 1) of GGX.
    """
    a2 = (alpha * alpha)[..., None]
    x1, y1 = x.roll(-1, 1), y.roll(-1, 1)
    up = x * y1 - x1 * y
    dx, dy = x1 - x, y1 - y
    length = (a2 * (dx * dx + dy * dy) + up * up + TINY * TINY).sqrt()
    term = torch.atan2(length, x * x1 + y * y1 + a2) * (up / length)
    return term.sum(-2).abs() / (2 * math.pi)
