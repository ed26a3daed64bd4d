"""Refine hypotheses: robust Gauss-Newton on the reprojection error, many homographies at once.

The cost is ``sum_i weight_i rho(|r_i|^2)``, Tukey's biweight of scale ``reach``: it is quadratic
near zero, so that it keeps the efficiency of least squares, and constant beyond ``reach``.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._checks import widest_dtype
from diar_ops.geometry._matrix3 import unfold_symmetric
from diar_ops.geometry._ransac.normalize import NormalizedMatches

#: Smallest depth, for homographies of unit norm, at which a point is projected.
_MIN_DEPTH = 1e-4
#: Reach of the local optimisation, step by step, in thresholds.
_LOCAL_REACH = (3.0, 1.5)
#: Steps of the final refit.
_FINAL_STEPS = 4


def refine_locally(h: Tensor, points: Tensor, threshold: Tensor) -> Tensor:
    """Return hypotheses (B, L, 9) after a step of each reach on all points.

    Args:
        h: (B, L, 9) homographies of unit norm.
        points: (B, 4, N) x, y, x', y'.
        threshold: (B,) inlier threshold in units of the points.

    Source: Chum, Matas & Kittler, Locally optimized RANSAC, DAGM 2003.
    """
    monomials = _source_monomials(points)
    wide = widest_dtype(h.device)
    for reach in _LOCAL_REACH:
        scale = (reach * threshold)[:, None, None]
        h, _ = _gauss_newton_step(h, points, monomials, scale, wide)
    return h


def refit(h: Tensor, data: NormalizedMatches, reach: Tensor) -> Tensor:
    """Return ``h`` (B, 9) at the minimum of the robust cost next to it, or as it was."""
    monomials = _source_monomials(data.points)
    scale = reach[:, None, None]
    start = current = h[:, None]
    costs = []
    for _ in range(_FINAL_STEPS + 1):
        previous = current
        current, cost = _gauss_newton_step(
            current, data.points, monomials, scale, data.points.dtype, data.weight[:, None]
        )
        costs.append(cost)
    return torch.where((costs[-1] <= costs[0])[..., None], previous, start).squeeze(1)


def _source_monomials(points: Tensor) -> Tensor:
    """Return (B, 6, N) x^2, xy, x, y^2, y, 1 of the source of ``points`` (B, 4, N)."""
    x, y = points[:, 0], points[:, 1]
    return torch.stack([x * x, x * y, x, y * y, y, torch.ones_like(x)], 1)


def _normal_matrix(moments: Tensor) -> Tensor:
    """Return (..., 9, 9), unfolded from moments (..., 4, 6).

    The Jacobian of a residual pair is ``[s, 0, -x s; 0, s, -y s] / w`` with ``s = (x, y, 1)`` of
    the source: all blocks are moments of ``s s^T`` with weights 1, x, y, x^2 + y^2.
    """
    diagonal, in_x, in_y, square = unfold_symmetric(moments).unbind(-3)
    zero = torch.zeros_like(diagonal)
    rows = [
        torch.cat([diagonal, zero, -in_x], -1),
        torch.cat([zero, diagonal, -in_y], -1),
        torch.cat([-in_x, -in_y, square], -1),
    ]
    return torch.cat(rows, -2)


def _gauss_newton_step(
    h: Tensor, points: Tensor, monomials: Tensor, reach: Tensor, wide: torch.dtype, prior: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return improved homographies (B, L, 9) of unit norm, and the costs (B, L) before the step.

    Args:
        h: (B, L, 9) homographies of unit norm.
        points: (B, 4, N) x, y, x', y'; those that do not count lie out of reach.
        monomials: (B, 6, N) x^2, xy, x, y^2, y, 1 of the source.
        reach: (B, 1, 1) residual beyond which a point has no weight.
        wide: Dtype to solve the normal equations in.
        prior: Optional (B, 1, N) weights of the points.
    """
    homogeneous = torch.stack((monomials[:, 2], monomials[:, 4], monomials[:, 5]), 1)
    (size, count), number = h.shape[:2], points.shape[2]
    projected = torch.bmm(h.reshape(size, 3 * count, 3), homogeneous)
    u, v, w = projected.view(size, count, 3, number).unbind(2)  # (B, L, N)
    # Behind the camera residuals become huge, and weights 0, but nothing becomes infinite.
    inverse = w.clamp_min(_MIN_DEPTH).reciprocal_()
    x, y = u * inverse, v * inverse
    rx, ry = x - points[:, 2:3], y - points[:, 3:4]
    square = (rx * rx).addcmul_(ry, ry)
    near = (1.0 - square / reach.square()).clamp_min_(0.0)
    weight = near * near
    cost = 1.0 - weight * near
    if prior is not None:
        cost, weight = cost * prior, weight * prior
    weight.mul_(inverse)
    # Written in place: these are most of the memory traffic of the whole estimator.
    pull = weight.new_empty(size, count, 3, number)
    torch.mul(rx, weight, out=pull[:, :, 0])
    torch.mul(ry, weight, out=pull[:, :, 1])
    torch.mul(x, pull[:, :, 0], out=pull[:, :, 2])
    pull[:, :, 2].addcmul_(y, pull[:, :, 1]).neg_()
    lever = weight.new_empty(size, count, 4, number)
    torch.mul(weight, inverse, out=lever[:, :, 0])
    torch.mul(x, lever[:, :, 0], out=lever[:, :, 1])
    torch.mul(y, lever[:, :, 0], out=lever[:, :, 2])
    torch.mul(x, lever[:, :, 1], out=lever[:, :, 3])
    lever[:, :, 3].addcmul_(y, lever[:, :, 2])
    gradient = torch.bmm(pull.view(size, 3 * count, number), homogeneous.mT)
    moments = torch.bmm(lever.view(size, 4 * count, number), monomials.mT)
    gradient = gradient.view(size, count, 9).to(wide)
    moments = moments.view(size, count, 4, 6).to(wide)

    normal = _normal_matrix(moments)
    trace = normal.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    trace = torch.where(trace > 0, trace, 1.0)
    # The scale of h is free: its direction gets stiffness of its own, and a trace of damping keeps
    # badly spread points solvable.
    wide_h = h.to(wide)
    normal = normal + trace * (
        wide_h[..., None] * wide_h[..., None, :] + 1e-12 * torch.eye(9, dtype=wide, device=h.device)
    )
    step = torch.linalg.solve_ex(normal, gradient[..., None])[0].squeeze(-1)
    moved = wide_h - step.nan_to_num(0.0, 0.0, 0.0)
    moved = moved / moved.norm(dim=-1, keepdim=True)
    return moved.to(h.dtype), cost.sum(-1)


class _Residuals(NamedTuple):
    """Reprojection errors of N points under B homographies."""

    homogeneous: Tensor  # (B, N, 3) of the source
    predicted: Tensor  # (B, N, 2)
    residual: Tensor  # (B, N, 2), 0 where a point does not count
    depth: Tensor  # (B, N), 1 there
    near: Tensor  # (B, N) 1 - |r|^2 / reach^2, at least 0


def _residuals(h: Tensor, src: Tensor, dst: Tensor, weight: Tensor, reach: Tensor) -> _Residuals:
    homogeneous = torch.cat([src, torch.ones_like(src[..., :1])], -1)
    projected = homogeneous @ h.view(-1, 3, 3).mT
    counts = (weight > 0) & (projected[..., 2] > 0)
    w = torch.where(counts, projected[..., 2], 1.0)
    predicted = projected[..., :2] / w[..., None]
    residual = torch.where(counts[..., None], predicted - dst, 0.0)
    near = (1.0 - residual.square().sum(-1) / reach.square()).clamp_min(0.0)
    return _Residuals(homogeneous, predicted, residual, w, near)


def _robust_gradient(r: _Residuals, weight: Tensor) -> Tensor:
    """Return the gradient (B, 9) of the cost by the homography: ``sum_n [p, -(x, y) p] s^T``."""
    pull = r.residual * (weight * r.near.square() / r.depth)[..., None]  # (B, N, 2)
    last = -(r.predicted * pull).sum(-1, keepdim=True)
    return (torch.cat([pull, last], -1).mT @ r.homogeneous).flatten(-2)


def _robust_hessian(r: _Residuals, weight: Tensor, reach: Tensor) -> Tensor:
    """Return the Hessian (B, 9, 9) of the cost: the derivative of :func:`_robust_gradient`.

    Each point adds ``M`` (3, 3) times ``s s^T``: the square of the residual's derivative, its
    second derivative, and the change of the weight.
    """
    x, y = r.predicted.unbind(-1)
    rx, ry = r.residual.unbind(-1)
    last = -(x * rx + y * ry)
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    square = (one, zero, -x - rx, zero, one, -y - ry, -x - rx, -y - ry, x * x + y * y - 2 * last)
    pull = torch.stack((rx, ry, last), -1)
    outer = 4 * r.near / reach.square()
    each = r.near.square()[..., None, None] * torch.stack(square, -1).reshape(*x.shape, 3, 3)
    each = each - outer[..., None, None] * pull[..., :, None] * pull[..., None, :]
    each = each * (weight / r.depth.square())[..., None, None]
    hessian = torch.einsum("bnij,bnk,bnl->bikjl", each, r.homogeneous, r.homogeneous)
    return hessian.reshape(-1, 9, 9)


def newton_step(h: Tensor, src: Tensor, dst: Tensor, weight: Tensor, reach: Tensor) -> Tensor:
    """Return ``h`` after one Newton step, with the exact gradient of the converged estimate.

    At a minimum the step is zero and its derivative by the data is that of the minimum (the
    implicit function theorem); ``h`` and the Hessian are constants.

    Args:
        h: (B, 9) homographies.
        src: (B, N, 2) points.
        dst: (B, N, 2) points.
        weight: (B, N) weights; 0 for points that must not count.
        reach: (B, 1) residual beyond which a point has no weight.
    """
    h = h.detach()
    residuals = _residuals(h, src, dst, weight, reach)
    hessian = _robust_hessian(_Residuals(*(x.detach() for x in residuals)), weight.detach(), reach)
    trace = hessian.diagonal(dim1=-2, dim2=-1).abs().sum(-1)[:, None, None]
    gauge = torch.where(trace > 0, trace, 1.0) * h[:, :, None] * h[:, None, :]
    # A constant, and finite also where nothing counts: then the step and all its gradients are 0.
    inverse = torch.linalg.inv_ex(hessian + gauge)[0]
    sound = inverse.isfinite().flatten(1).all(-1)
    inverse = torch.where(sound[:, None, None], inverse, 0.0)
    return h - (inverse @ _robust_gradient(residuals, weight)[..., None]).squeeze(-1)
