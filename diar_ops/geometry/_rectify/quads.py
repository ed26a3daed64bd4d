"""Quadrilaterals as images of rectangles: the map of the unit square, and what the sides tell.

The homography of the unit square onto four corners is G = [g1, g2, g3]. Under a camera with square
pixels, the principal point at the origin and the focal length f, ``w = diag(1/f^2, 1/f^2, 1)`` is
the image of the absolute conic, and the corners are those of a rectangle of proportion a = width /
height exactly where

    g1' w g2 = 0,        g1' w g1 = a^2 g2' w g2

(Zhang & He, Whiteboard scanning and image enhancement, 2007, equations 9 to 12; Hartley &
Zisserman, 2nd ed., example 8.18). As residuals: the cosine between the sides, and the log of the
proportion.
"""

from __future__ import annotations

import torch
from torch import Tensor

from diar_ops._pixels import constant


def unit_square_homography(quads: Tensor) -> tuple[Tensor, Tensor]:
    """Return G (..., 3, 3) of the unit square onto quads, and where it exists.

    Args:
        quads: (..., 4, 2), where (0, 0), (1, 0), (1, 1), (0, 1) are seen.

    Returns:
        ``homography_quad_square``, w = 1 at the first corner; the identity where a corner is not
        strictly convex (three on a line, coincident, or seen across the horizon).
    """
    convex = _is_convex(quads)
    square = constant([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=quads.dtype, device=quads.device)
    quads = torch.where(convex[..., None, None], quads, square)
    p0, p1, p2, p3 = quads.unbind(-2)
    d1, d2, d3 = p1 - p2, p3 - p2, p0 - p1 + p2 - p3
    area = _cross(d1, d2)
    g, h = _cross(d3, d2) / area, _cross(d1, d3) / area
    first = torch.cat((p1 - p0 + g[..., None] * p1, g[..., None]), -1)
    second = torch.cat((p3 - p0 + h[..., None] * p3, h[..., None]), -1)
    third = torch.cat((p0, torch.ones_like(g)[..., None]), -1)
    return torch.stack((first, second, third), -1), convex


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _is_convex(quads: Tensor) -> Tensor:
    """Return (...,) whether all four corners turn the same way, by more than rounding."""
    quads = quads.detach()
    sides = quads.roll(-1, -2) - quads
    turns = _cross(sides, sides.roll(-1, -2))  # (..., 4)
    size = sides.square().sum(-1).amax(-1, keepdim=True)
    noise = 1e-6 * size
    return (turns > noise).all(-1) | (turns < -noise).all(-1)


def side_residuals(quads: Tensor, log_focal: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cosine between the sides and the log of the proportion, and how the focal moves them.

    Args:
        quads: (..., 4, 2) relative to the principal point.
        log_focal: (...,) in the unit of the quads.

    Returns:
        (..., 2), and its derivative (..., 2) with respect to ``log_focal``.
    """
    G, _ = unit_square_homography(quads)
    g1, g2 = G[..., 0], G[..., 1]
    weight = (-2 * log_focal).exp()
    flat11, flat22, flat12 = ((a[..., :2] * b[..., :2]).sum(-1) * weight for a, b in ((g1, g1), (g2, g2), (g1, g2)))
    a11, a22 = flat11 + g1[..., 2].square(), flat22 + g2[..., 2].square()
    a12 = flat12 + g1[..., 2] * g2[..., 2]
    root = (a11 * a22).rsqrt()
    cosine, proportion = a12 * root, 0.5 * (a11 / a22).log()
    share1, share2 = flat11 / a11, flat22 / a22  # d log a11 / d log_focal = -2 share1
    slope = torch.stack((-2 * flat12 * root + cosine * (share1 + share2), share2 - share1), -1)
    return torch.stack((cosine, proportion), -1), slope
