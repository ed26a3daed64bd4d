"""Sampson distances of matches in the coordinates of one reference, and their derivatives.

Match n of frames i and j is explained by a point X of the reference. The squared distance of the
two measured positions, in pixels of their photos, from the nearest pair that one X explains is, to
first order (Sampson),

    e = r^T C^-1 r,   r = q_i - q_j,   C = G_i G_i^T + G_j G_j^T,

where q is the measured position projected into the reference and G its derivative by the photo's
pixels. C depends on the homographies, and so does its share in the gradient, which is kept: leaving
it out shrinks the frames. Swapping i and j changes nothing, nor does the choice of the reference to
first order. The normal matrix is that of Gauss and Newton with C held fixed.

The robust cost of a match is ``1 - max(0, 1 - e / reach^2)^3``, Tukey's biweight scaled to 1
beyond reach. Every frame's coordinates are normalised, so that H[2, 2] = 1 is a safe gauge; the
derivative of q by the eight other entries is ``[s, 0, -q_x s; 0, s, -q_y s] / w`` for a point
``s = (x, y, 1)``. All blocks of the normal matrix are therefore moments of products of s with
weights, which are summed by matrix products; no Jacobian is stored.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from diar_ops.geometry._bundle.pairs import Pairs, PairTerms
from diar_ops.geometry._bundle.projection import Projection, pixel_covariance, pixels_to_normalised, project
from diar_ops.geometry._matrix3 import unfold_symmetric

#: Matches that are worked on at a time: their temporaries stay in the processor's cache.
_CHUNK = 2**14


def pair_terms(pairs: Pairs, homography: Tensor, distortion: Tensor, reach: Tensor) -> PairTerms:
    """Return the terms of every pair.

    Args:
        pairs: The matches.
        homography: (F, 3, 3) normalised, with H[2, 2] = 1.
        distortion: (F,) coefficient of distortion of each frame; read if there is a lens.
        reach: (Q,) Sampson distance in pixels beyond which a match has no weight.
    """
    parts = [_chunk_terms(part, homography, distortion, part_reach) for part, part_reach in _chunks(pairs, reach)]
    return PairTerms(*(torch.cat(part) for part in zip(*parts, strict=True)))


def squared_distances(pairs: Pairs, homography: Tensor, distortion: Tensor) -> Tensor:
    """Return squared Sampson distances (Q, N) in px^2; inf for matches that do not count."""
    parts = []
    for part, _ in _chunks(pairs, distortion):
        parts.append(distances_at_once(part, homography, distortion))
    return torch.cat(parts)


def distances_at_once(pairs: Pairs, homography: Tensor, distortion: Tensor) -> Tensor:
    """Return :func:`squared_distances`, of all pairs in one chunk."""
    side, other = _project_both(pairs, homography, distortion)
    distance = _distance(side, other)[-1]
    counts = side.in_front & other.in_front & (pairs.weight > 0) & distance.isfinite()
    return torch.where(counts, distance, torch.inf)


def robust_cost(squares: Tensor, weight: Tensor, reach: Tensor) -> Tensor:
    """Return half the cost (Q,) of the matches of each pair, as :func:`pair_terms` does."""
    near = (1 - squares / reach.square()[:, None]).clamp_min(0)
    return (weight * (1 - near**3)).sum(1) / 2


def sampson_corrected(pairs: Pairs, homography: Tensor, distortion: Tensor, reach: Tensor) -> Pairs:
    """Return the pairs with both positions of every match corrected to agree, to first order.

    Their weights carry the robust ones. The normal matrix of measured positions takes part of their
    noise for a difference of the views, and a lens would seem to show in equal views.
    """
    moved0: list[Tensor] = []
    moved1: list[Tensor] = []
    weights: list[Tensor] = []
    unit = pairs.scale if pairs.lens is None else pairs.scale / pairs.lens.gain
    for part, part_reach in _chunks(pairs, reach):
        side, other = _project_both(part, homography, distortion)
        *_, vx, vy, distance = _distance(side, other)
        near = 1 - distance / part_reach.square()[:, None]
        agrees = side.in_front & other.in_front & (near > 0) & (part.weight > 0)
        weights.append(torch.where(agrees, part.weight * near * near, 0.0))
        for moved, points, index, g, sign in (
            (moved0, part.points0, part.first, side.by_pixel, -1),
            (moved1, part.points1, part.second, other.by_pixel, 1),
        ):
            step = torch.stack((g[0] * vx + g[2] * vy, g[1] * vx + g[3] * vy), 1)
            step = torch.where(agrees[:, None], step, 0.0)
            moved.append(points + sign * unit[index][:, None, None] * step)
    return pairs._replace(points0=torch.cat(moved0), points1=torch.cat(moved1), weight=torch.cat(weights))


def _chunks(pairs: Pairs, reach: Tensor) -> Iterator[tuple[Pairs, Tensor]]:
    total, number = pairs.weight.shape
    step = max(1, _CHUNK // max(1, number))
    for a in range(0, max(total, 1), step):
        chunk = slice(a, a + step)
        part = pairs._replace(
            first=pairs.first[chunk],
            second=pairs.second[chunk],
            points0=pairs.points0[chunk],
            points1=pairs.points1[chunk],
            weight=pairs.weight[chunk],
        )
        yield part, reach[chunk]


def _project_both(pairs: Pairs, homography: Tensor, distortion: Tensor) -> tuple[Projection, Projection]:
    """Project the positions in both frames of each pair."""
    first, second = (
        project(points, index, homography, pairs.scale, pairs.lens, distortion)
        for points, index in ((pairs.points0, pairs.first), (pairs.points1, pairs.second))
    )
    return first, second


def _distance(side: Projection, other: Projection) -> tuple[Tensor, ...]:
    """Return C^-1 by its entries xx, xy, yy, then C^-1 r by x, y, then e; (c, N) each."""
    covariances = pixel_covariance(side.by_pixel), pixel_covariance(other.by_pixel)
    a, b, c = (g + h for g, h in zip(*covariances, strict=True))
    det = (a * c).addcmul_(b, b, value=-1)
    # The root of the smallest number: its reciprocal times anything in sight stays finite.
    inverse = 1 / det.clamp_min(torch.finfo(det.dtype).tiny ** 0.5)
    a, b, c = c * inverse, -b * inverse, a * inverse
    rx, ry = side.qx - other.qx, side.qy - other.qy
    vx, vy = (a * rx).addcmul_(b, ry), (b * rx).addcmul_(c, ry)
    return a, b, c, vx, vy, (vx * rx).addcmul_(vy, ry)


def _chunk_terms(pairs: Pairs, homography: Tensor, distortion: Tensor, reach: Tensor) -> PairTerms:
    side, other = _project_both(pairs, homography, distortion)
    a, b, c, vx, vy, distance = _distance(side, other)
    relative = distance / reach.square()[:, None]
    inside = side.in_front & other.in_front & (relative < 1)
    near = torch.where(inside, 1 - relative, 0.0)
    relative = torch.where(inside, relative, 0.0)
    square = near * near
    weighted = pairs.weight * square
    cost = (pairs.weight * (1 - square * near)).sum(1) / 2
    members = inside & (pairs.weight > 0)
    sums = torch.stack(
        (
            weighted.sum(1),
            (weighted - 2 * relative * near * pairs.weight).sum(1),
            (weighted * relative).sum(1),
            (weighted * weighted * relative).sum(1),
            members.sum(1).to(cost.dtype),
        ),
        1,
    )
    pull = weighted * (3 / reach.square())[:, None]
    a, b, c = a * pull, b * pull, c * pull
    vx, vy = vx * pull, vy * pull
    # Of a match without weight, 0 times something huge must stay 0.
    safe = torch.where(pull > 0, 1 / pull.clamp_min(torch.finfo(pull.dtype).tiny), 0.0)
    gradients, slopes = zip(_gradient(side, vx, vy, safe), _gradient(other, -vx, -vy, safe), strict=True)
    blocks = [_diagonal_block(side, a, b, c), _diagonal_block(other, a, b, c)]
    normal = torch.stack((*blocks, _cross_block(side, other, a, b, c)), 1)
    zero, zeros = torch.zeros_like(cost), normal.new_zeros(len(cost), 2, 8)
    terms = PairTerms(cost, torch.stack(gradients, 1), normal, zero, zeros, zero, sums)
    if pairs.lens is None:
        return terms
    kx, ky = (p - q for p, q in zip(_lens_derivative(side), _lens_derivative(other), strict=True))
    fx, fy = (a * kx).addcmul_(b, ky), (b * kx).addcmul_(c, ky)
    return terms._replace(
        lens_gradient=slopes[0] + slopes[1],
        lens_cross=torch.stack((_gradient_of(side, fx, fy), _gradient_of(other, -fx, -fy)), 1),
        lens_normal=(kx * fx + ky * fy).sum(1),
    )


def _gradient(side: Projection, vx: Tensor, vy: Tensor, safe: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradient (c, 8) of half the cost by H, and (c,) by k.

    ``v^T dq - v^T dG u`` with ``u = G^T v``, ``v`` = C^-1 r: to first order the derivative of q at
    the position that is corrected by -u. ``vx, vy`` carry the weight, which ``safe`` divides out.
    """
    g = side.by_pixel
    ux, uy = (g[0] * vx).addcmul_(g[2], vy), (g[1] * vx).addcmul_(g[3], vy)
    length = (ux * ux).addcmul_(uy, uy).mul_(safe)
    sx, sy = ux * safe, uy * safe
    tx, ty = pixels_to_normalised(side, sx, sy)
    slope_x, slope_y = side.depth_slope
    drift = torch.addcmul(slope_x * tx, slope_y, ty).mul_(side.inverse_depth)
    px, py = vx * side.inverse_depth, vy * side.inverse_depth
    third = (px * side.qx).addcmul_(py, side.qy)
    pulls = torch.stack((px, py, -third), 1)  # [c, 3, N]
    level = 1 + drift
    corrected = torch.stack((side.x * level - tx, side.y * level - ty, level), 1)
    gradient = pulls @ corrected.mT
    more = length * side.inverse_depth
    last = torch.stack(((more * side.x).sum(1), (more * side.y).sum(1), more.sum(1)), 1)
    gradient = torch.cat((gradient[:, :2], (gradient[:, 2] + last)[:, None]), 1).flatten(1)[:, :8]
    if side.lens is None:
        return gradient, vx.new_zeros(len(vx))
    lens = side.lens
    zx, zy = lens.by_k
    jx = (side.jacobian[0] * vx).addcmul_(side.jacobian[2], vy)  # J^T v
    jy = (side.jacobian[1] * vx).addcmul_(side.jacobian[3], vy)
    straight = (jx * zx).addcmul_(jy, zy) * level
    tilt = (slope_x * zx + slope_y * zy) * side.inverse_depth * length
    (dx, dy), factor = lens.d, lens.factor
    radial = -2 * factor.square() * (1 - 2 * lens.k * lens.square * factor) * (dx * sx + dy * sy)
    plain = -lens.square * factor.square()
    wx, wy = (plain * sx).addcmul_(radial, dx), (plain * sy).addcmul_(radial, dy)
    slope = straight + tilt - side.scale * (jx * wx + jy * wy)
    return gradient, slope.sum(1)


def _lens_derivative(side: Projection) -> tuple[Tensor, Tensor]:
    """Return the derivative of q by k."""
    assert side.lens is not None
    (zx, zy), j = side.lens.by_k, side.jacobian
    return (j[0] * zx).addcmul_(j[1], zy), (j[2] * zx).addcmul_(j[3], zy)


def _gradient_of(side: Projection, fx: Tensor, fy: Tensor) -> Tensor:
    """Return ``sum_n (dq/dH)^T f`` (c, 8)."""
    px, py = fx * side.inverse_depth, fy * side.inverse_depth
    third = (px * side.qx).addcmul_(py, side.qy).neg_()
    points = torch.stack((side.x, side.y, torch.ones_like(side.x)), 1)
    return (torch.stack((px, py, third), 1) @ points.mT).flatten(1)[:, :8]


def _diagonal_block(side: Projection, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Return ``sum_n (dq/dH)^T W (dq/dH)`` (c, 8, 8), W = [a, b; b, c]."""
    square = side.inverse_depth.square()
    a, b, c = a * square, b * square, c * square
    lean_x = (a * side.qx).addcmul_(b, side.qy)
    lean_y = (b * side.qx).addcmul_(c, side.qy)
    last = (lean_x * side.qx).addcmul_(lean_y, side.qy)
    weights = torch.stack((a, b, -lean_x, c, -lean_y, last), 1)
    x, y = side.x, side.y
    monomials = torch.stack((x * x, x * y, x, y * y, y, torch.ones_like(x)), 1)
    moments = unfold_symmetric(weights @ monomials.mT).flatten(2)  # [c, 6, 9]
    return _entries(unfold_symmetric(moments.mT).flatten(2).mT)


def _cross_block(side: Projection, other: Projection, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Return ``-sum_n (dq_i/dH_i)^T W (dq_j/dH_j)`` (c, 8, 8)."""
    both = -side.inverse_depth * other.inverse_depth
    a, b, c = a * both, b * both, c * both
    side_x = (a * side.qx).addcmul_(b, side.qy)
    side_y = (b * side.qx).addcmul_(c, side.qy)
    other_x = (a * other.qx).addcmul_(b, other.qy)
    other_y = (b * other.qx).addcmul_(c, other.qy)
    last = (side_x * other.qx).addcmul_(side_y, other.qy)
    weights = torch.stack((a, b, -other_x, b, c, -other_y, -side_x, -side_y, last), 1)
    x, y, u, v = side.x, side.y, other.x, other.y
    one = torch.ones_like(x)
    monomials = torch.stack((x * u, x * v, x, y * u, y * v, y, u, v, one), 1)
    return _entries(weights @ monomials.mT)


def _entries(moments: Tensor) -> Tensor:
    """Sort moments (c, 9, 9) by (row, row'), (entry, entry') into blocks (c, 8, 8)."""
    blocks = moments.reshape(-1, 3, 3, 3, 3).transpose(2, 3)
    return blocks.reshape(-1, 9, 9)[:, :8, :8]
