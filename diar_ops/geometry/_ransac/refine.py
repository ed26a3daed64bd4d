"""Refine hypotheses: robust Gauss-Newton on the reprojection error, many homographies at once.

The cost is ``sum_i weight_i rho(|r_i|^2)``, Tukey's biweight of scale ``reach``: it is quadratic
near zero, so that it keeps the efficiency of least squares, and constant beyond ``reach``.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._checks import widest_dtype
from diar_ops.geometry._matrix3 import normal_matrix
from diar_ops.geometry._partition import chosen_first
from diar_ops.geometry._ransac.normalize import NormalizedMatches

#: Smallest depth, for homographies of unit norm, at which a point is projected.
_MIN_DEPTH = 1e-4
#: Reach of the local optimisation, step by step, in thresholds.
_LOCAL_REACH = (3.0, 1.5)
#: Steps of the final refit, how many more for those whose last one was longer than this, and the
#: square of the distance in reaches up to which points may come within reach in them.
_FINAL_STEPS, _MORE_STEPS, _SETTLED, _FINAL_RANGE = 3, 5, 1e-6, 9.0


def refine_locally(h: Tensor, points: Tensor, threshold: Tensor) -> Tensor:
    """Return hypotheses (B, L, 9) after a step of each reach on all points.

    Args:
        h: (B, L, 9) homographies of unit norm.
        points: (B, 4, N) x, y, x', y'.
        threshold: (B,) inlier threshold in units of the points.

    Source: Chum, Matas & Kittler, Locally optimized RANSAC, DAGM 2003.
    """
    homogeneous, monomials = _source_monomials(points)
    wide = widest_dtype(h.device)
    for reach in _LOCAL_REACH:
        h = _gauss_newton_step(h, points, homogeneous, monomials, (reach * threshold)[:, None, None], wide)
    return h


def refit(h: Tensor, data: NormalizedMatches, reach: Tensor) -> Tensor:
    """Return ``h`` (B, 9) at the minimum of the robust cost next to it, or as it was."""
    points, weight, on_cpu = data.points, data.weight, h.device.type == "cpu"
    if on_cpu:  # a GPU would have to wait for their number
        kept, real = chosen_first(_square_residuals(h, points) < (_FINAL_RANGE * reach.square())[:, None])
        points, weight = points.gather(2, kept[:, None].expand(-1, 4, -1)), weight.gather(1, kept) * real
    fixed = (points, *_source_monomials(points), reach[:, None, None], weight[:, None])

    def descend(start: Tensor, steps: int, items: Tensor | None = None) -> tuple[Tensor, Tensor]:
        at, homogeneous, monomials, scale, prior = fixed if items is None else (x[items] for x in fixed)
        current = previous = start[:, None]
        for _ in range(steps):
            previous = current
            current = _gauss_newton_step(current, at, homogeneous, monomials, scale, at.dtype, prior)
        return current[:, 0], (current - previous).abs().amax((1, 2))

    found, moved = descend(h, _FINAL_STEPS if on_cpu else _FINAL_STEPS + _MORE_STEPS)
    unsettled = (moved > _SETTLED).nonzero().squeeze(-1) if on_cpu else h.new_empty(0)
    if unsettled.numel():
        found = found.index_copy(0, unsettled, descend(found[unsettled], _MORE_STEPS, unsettled)[0])

    def gain(x: Tensor) -> Tensor:
        near = (1.0 - _square_residuals(x, points) / reach.square()[:, None]).clamp_min_(0.0)
        return (weight * near**3).sum(-1)

    return torch.where((gain(found) >= gain(h))[:, None], found, h)


def _square_residuals(h: Tensor, points: Tensor) -> Tensor:
    """Return squared reprojection errors (B, N) of ``points`` (B, 4, N) under ``h`` (B, 9)."""
    h = h.view(-1, 3, 3)
    u, v, w = torch.baddbmm(h[..., 2:], h[..., :2], points[:, :2]).unbind(1)
    inverse = w.clamp_min(_MIN_DEPTH).reciprocal_()
    return (u * inverse - points[:, 2]).square_().add_((v * inverse - points[:, 3]).square_())


def _source_monomials(points: Tensor) -> tuple[Tensor, Tensor]:
    """Return s = (x, y, 1) (B, 3, N) of the source of ``points`` (B, 4, N), and s s^T (B, 9, N)."""
    homogeneous = torch.cat([points[:, :2], torch.ones_like(points[:, :1])], 1)
    return homogeneous, (homogeneous[:, :, None] * homogeneous[:, None]).flatten(1, 2)


def _gauss_newton_step(
    h: Tensor,
    points: Tensor,
    homogeneous: Tensor,
    monomials: Tensor,
    reach: Tensor,
    wide: torch.dtype,
    prior: Tensor | None = None,
) -> Tensor:
    """Return improved homographies (B, L, 9) of unit norm.

    Args:
        h: (B, L, 9) homographies of unit norm.
        points: (B, 4, N) x, y, x', y'; those that do not count lie out of reach, or have no weight.
        homogeneous: (B, 3, N) s = (x, y, 1) of the source.
        monomials: (B, 9, N) s s^T.
        reach: (B, 1, 1) residual beyond which a point has no weight.
        wide: Dtype to solve the normal equations in.
        prior: Optional (B, 1, N) weights of the points.
    """
    (size, count), number = h.shape[:2], points.shape[2]
    projected = torch.bmm(h.reshape(size, 3 * count, 3), homogeneous)
    x, y, w = projected.view(size, count, 3, number).unbind(2)  # (B, L, N)
    # Behind the camera residuals become huge, and weights 0, but nothing becomes infinite. Written
    # in place: this is most of the memory traffic of the whole estimator.
    inverse = w.clamp_min_(_MIN_DEPTH).reciprocal_()
    x.mul_(inverse)
    y.mul_(inverse)
    factors = h.new_empty(size, count, 7, number)  # of the gradient, and of the moments
    rx, ry, last, one, in_x, in_y, square = factors.unbind(2)
    torch.sub(x, points[:, 2:3], out=rx)
    torch.sub(y, points[:, 3:4], out=ry)
    near = torch.mul(rx, rx, out=last).addcmul_(ry, ry).div_(-reach.square()).add_(1.0).clamp_min_(0.0)
    weight = near * near
    if prior is not None:
        weight.mul_(prior)
    weight.mul_(inverse)
    rx.mul_(weight)
    ry.mul_(weight)
    torch.mul(x, rx, out=last).addcmul_(y, ry).neg_()
    torch.mul(weight, inverse, out=one)
    torch.mul(x.neg_(), one, out=in_x)
    torch.mul(y.neg_(), one, out=in_y)
    torch.mul(x, in_x, out=square).addcmul_(y, in_y)
    sums = torch.bmm(factors.view(size, 7 * count, number), monomials.mT).view(size, count, 7, 9).to(wide)
    gradient = sums[:, :, :3, 2::3].flatten(-2)  # by s, the last column of s s^T
    normal = normal_matrix(sums[:, :, 3:])
    # The scale of h is free: its direction gets stiffness of its own, and a trace of damping keeps
    # badly spread points solvable.
    trace = normal.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True).clamp_min_(torch.finfo(wide).tiny ** 0.5)
    wide_h = h.to(wide)
    normal.addcmul_((trace * wide_h)[..., None], wide_h[..., None, :])
    normal.diagonal(dim1=-2, dim2=-1).add_(trace, alpha=1e-12)
    step = torch.linalg.solve_ex(normal, gradient[..., None])[0].squeeze(-1)
    moved = wide_h - step.nan_to_num_(0.0, 0.0, 0.0)
    moved = moved / torch.linalg.vector_norm(moved, dim=-1, keepdim=True)
    improved: Tensor = moved.to(h.dtype)
    return improved


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
