"""Homographies through four points in closed form, shared by homography_dlt and RANSAC.

The projective basis (Hartley & Zisserman, 2nd ed., section 2.3) with the fourth point as origin:
with ``e_i = p_i - p_3`` and the signed areas ``a_i = e_j x e_k`` ((i, j, k) cyclic in 0, 1, 2),
``p_3`` has barycentric coordinates ``a_i / sum(a)``, and likewise ``f_i, b_i`` in the destination.
Then ``H ~ sum_i (b_i / a_i) [f_i, 1] [n_i, a_i]^T``, ``n_i`` the normal of the line through
``e_j, e_k``. Its last column is ``(0, 0, sum(b))``: the origin maps to the origin.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Corners(NamedTuple):
    """Four points relative to the last one, and the signed areas of their triangles."""

    edges: Tensor  # (..., 2, 3, M): x and y of p_i - p_3
    origin: Tensor  # (..., 2, M): p_3
    areas: Tensor  # (..., 4, M): a_0, a_1, a_2 and their sum, the area of p_0 p_1 p_2


def corner_areas(points: Tensor) -> Corners:
    """Return edges and doubled signed areas of four points each, (..., 2, 4, M)."""
    origin = points[..., 3, :]
    edges = points[..., :3, :] - origin.unsqueeze(-2)
    x, y = edges.unbind(-3)  # (..., 3, M)
    areas = [x[..., j, :] * y[..., k, :] - x[..., k, :] * y[..., j, :] for j, k in ((1, 2), (2, 0), (0, 1))]
    areas.append(areas[0] + areas[1] + areas[2])
    return Corners(edges, origin, torch.stack(areas, dim=-2))


def orientation_margin(src_areas: Tensor, dst_areas: Tensor) -> Tensor:
    """Return (..., M), positive where all four triangles (..., 4, M) keep their orientation.

    Only then does a homography see all four points in front of the camera and unmirrored (the
    oriented constraint: Werner & Pajdla, Oriented matching constraints, BMVC 2001). It is zero
    where three points are collinear or two coincide.
    """
    return (src_areas * dst_areas).amin(dim=-2)


def four_point_homography(src: Corners, dst: Corners) -> Tensor:
    """Return the homographies (..., 9, M), row-major, ``dst ~ H @ src``, scaled arbitrarily.

    Where triangles keep their orientation the scale is such that the four points have ``w > 0``.
    The source's areas must not be zero.
    """
    ratio = dst.areas[..., :3, :] / src.areas[..., :3, :]
    ratio = ratio * src.areas[..., 3:, :].sign()
    x, y = src.edges.unbind(-3)
    u, v = dst.edges.unbind(-3)
    normal_x = (y.roll(-1, -2) - y.roll(1, -2)) * ratio
    normal_y = (x.roll(1, -2) - x.roll(-1, -2)) * ratio
    h6, h7 = normal_x.sum(-2), normal_y.sum(-2)
    h8 = dst.areas[..., 3, :] * src.areas[..., 3, :].sign()
    (px, py), (qx, qy) = src.origin.unbind(-2), dst.origin.unbind(-2)
    # Undo the shift of the origins: H <- [I, q_3] H [I, -p_3].
    h0 = (u * normal_x).sum(-2)
    h1 = (u * normal_y).sum(-2)
    h3 = (v * normal_x).sum(-2)
    h4 = (v * normal_y).sum(-2)
    h2 = -(h0 * px + h1 * py)
    h5 = -(h3 * px + h4 * py)
    h8 = h8 - h6 * px - h7 * py
    rows = [h0 + qx * h6, h1 + qx * h7, h2 + qx * h8]
    rows += [h3 + qy * h6, h4 + qy * h7, h5 + qy * h8, h6, h7, h8]
    return torch.stack(rows, dim=-2)
