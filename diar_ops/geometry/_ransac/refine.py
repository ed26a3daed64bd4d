"""Robust Gauss-Newton on the reprojection error, batched over homographies of one item and items.

The cost is ``sum_i weight_i rho(|r_i|^2)``, Tukey's biweight of scale ``reach``: it is quadratic
near zero, so that it keeps the efficiency of least squares, and constant beyond ``reach``.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["gauss_newton_step", "newton_step", "robust_gradient"]


#: Smallest depth, for homographies of unit norm, at which a point is projected.
_MIN_DEPTH = 1e-4


def _normal_matrix(moments: Tensor) -> Tensor:
    """Return (..., 9, 9), unfolded from moments (..., 4, 6).

    The Jacobian of a residual pair is ``[s, 0, -x s; 0, s, -y s] / w`` with ``s = (x, y, 1)`` of
    the source: all blocks are moments of ``s s^T`` with weights 1, x, y, x^2 + y^2.
    """
    blocks = moments[..., [0, 1, 2, 1, 3, 4, 2, 4, 5]].reshape(*moments.shape[:-1], 3, 3)
    diagonal, in_x, in_y, square = blocks.unbind(-3)
    zero = torch.zeros_like(diagonal)
    rows = [
        torch.cat([diagonal, zero, -in_x], -1),
        torch.cat([zero, diagonal, -in_y], -1),
        torch.cat([-in_x, -in_y, square], -1),
    ]
    return torch.cat(rows, -2)


def gauss_newton_step(
    h: Tensor,
    points: Tensor,
    monomials: Tensor,
    reach: Tensor,
    wide: torch.dtype,
    prior: Tensor | None = None,
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
    homogeneous = monomials[:, [2, 4, 5]]
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


def robust_gradient(h: Tensor, src: Tensor, dst: Tensor, weight: Tensor, reach: Tensor) -> Tensor:
    """Return the gradient (B, 9) of the cost by ``h`` (B, 9), differentiable by all arguments.

    Args:
        h: (B, 9) homographies.
        src: (B, N, 2) points.
        dst: (B, N, 2) points.
        weight: (B, N) weights; 0 for points that must not count.
        reach: (B, 1) residual beyond which a point has no weight.
    """
    homogeneous = torch.cat([src, torch.ones_like(src[..., :1])], -1)
    projected = homogeneous @ h.view(-1, 3, 3).mT
    counts = (weight > 0) & (projected[..., 2] > 0)
    w = torch.where(counts, projected[..., 2], 1.0)
    predicted = projected[..., :2] / w[..., None]
    residual = torch.where(counts[..., None], predicted - dst, 0.0)
    near = (1.0 - residual.square().sum(-1) / reach.square()).clamp_min(0.0)
    pull = residual * (weight * near.square() / w)[..., None]  # (B, N, 2)
    last = -(predicted * pull).sum(-1, keepdim=True)
    return (torch.cat([pull, last], -1).mT @ homogeneous).flatten(-2)


def newton_step(h: Tensor, src: Tensor, dst: Tensor, weight: Tensor, reach: Tensor) -> Tensor:
    """Return ``h`` after one Newton step, with the exact gradient of the converged estimate.

    At a minimum the step is zero and its derivative by the data is that of the minimum (the
    implicit function theorem); ``h`` and the Hessian are constants. Arguments as above.
    """
    h = h.detach()
    with torch.enable_grad():
        variable = h.clone().requires_grad_()
        fixed = [value.detach() for value in (src, dst, weight, reach)]
        slope = robust_gradient(variable, *fixed)
        columns = [
            torch.autograd.grad(slope[:, i].sum(), variable, retain_graph=i < 8)[0]
            for i in range(9)
        ]
    hessian = torch.stack(columns, 1)
    trace = hessian.diagonal(dim1=-2, dim2=-1).abs().sum(-1)[:, None, None]
    gauge = torch.where(trace > 0, trace, 1.0) * h[:, :, None] * h[:, None, :]
    gradient = robust_gradient(h, src, dst, weight, reach)
    # A constant, and finite also where nothing counts: then the step and all its gradients are 0.
    inverse = torch.linalg.inv_ex(hessian + gauge)[0]
    sound = inverse.isfinite().flatten(1).all(-1)
    inverse = torch.where(sound[:, None, None], inverse, 0.0)
    return h - (inverse @ gradient[..., None]).squeeze(-1)
