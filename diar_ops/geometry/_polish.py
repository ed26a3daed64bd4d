"""Robust Gauss-Newton on the reprojection error, batched over homographies of one item and items.

The cost is ``sum_i weight_i rho(|r_i|^2)``, Tukey's biweight of scale ``reach``: it is quadratic
near zero, so that it keeps the efficiency of least squares, and constant beyond ``reach``.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

__all__ = ["gauss_newton_step", "newton_step", "robust_gradient"]


@cache
def _assembly(device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return index (81,) and sign (81,) that unfold 4 x 6 moments into the 9 x 9 normal matrix.

    The Jacobian of a residual pair is ``[s, 0, -x s; 0, s, -y s] / w`` with ``s = (x, y, 1)`` of
    the source: all blocks are moments of ``s s^T`` with weights 1, x, y, x^2 + y^2.
    """
    monomial = torch.tensor([[0, 1, 2], [1, 3, 4], [2, 4, 5]])
    zero = torch.full((3, 3), 24)
    diagonal, in_x, in_y, square = (monomial + 6 * i for i in range(4))
    index = torch.cat(
        [
            torch.cat([diagonal, zero, in_x], 1),
            torch.cat([zero, diagonal, in_y], 1),
            torch.cat([in_x, in_y, square], 1),
        ]
    )
    sign = torch.ones(9, 9)
    sign[:6, 6:] = sign[6:, :6] = -1.0
    return index.flatten().to(device), sign.flatten().to(device, dtype)


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
        monomials: (B, N, 6) x^2, xy, x, y^2, y, 1 of the source.
        reach: (B, 1, 1) residual beyond which a point has no weight.
        wide: Dtype to solve the normal equations in.
        prior: Optional (B, 1, N) weights of the points.
    """
    homogeneous = monomials[..., [2, 4, 5]]
    target_x, target_y = points[:, 2:3], points[:, 3:4]
    projected = torch.matmul(h.unflatten(-1, (3, 3)).flatten(1, 2), homogeneous.mT)
    u, v, w = projected.unflatten(1, (-1, 3)).unbind(2)  # (B, L, N)
    inverse = w.reciprocal()
    x, y = u * inverse, v * inverse
    rx, ry = x - target_x, y - target_y
    square = (rx * rx).addcmul_(ry, ry).div_(reach * reach)
    near = (1.0 - square).clamp_min_(0.0).masked_fill_(w <= 0, 0.0)
    near.nan_to_num_(0.0)
    cost = 1.0 - near * near * near
    weight = (near * near).mul_(inverse)
    if prior is not None:
        cost, weight = cost * prior, weight.mul_(prior)
    # A point on the horizon has infinite residuals and no weight: 0 * inf must be 0.
    off = weight == 0
    rx, ry, x, y = (value.masked_fill_(off, 0.0) for value in (rx, ry, x, y))
    weight.masked_fill_(off, 0.0)
    pull = torch.stack([rx, ry, (x * rx).addcmul_(y, ry).neg_()], 2).mul_(weight[:, :, None])
    weight.mul_(inverse.masked_fill_(off, 0.0))
    lever = torch.stack([weight, weight * x, weight * y, weight * (x * x + y * y)], 2)
    count = h.shape[1]
    gradient = (
        torch.bmm(pull.flatten(1, 2), homogeneous).unflatten(1, (count, 3)).flatten(2).to(wide)
    )
    moments = torch.bmm(lever.flatten(1, 2), monomials).unflatten(1, (count, 4)).flatten(2).to(wide)

    index, sign = _assembly(h.device, wide)
    padded = torch.cat([moments, moments.new_zeros(moments.shape[:2] + (1,))], -1)
    normal = (padded[..., index] * sign).unflatten(-1, (9, 9))
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
    projected = homogeneous @ h.unflatten(-1, (3, 3)).mT
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
    step, info = torch.linalg.solve_ex(hessian + gauge, gradient[..., None])
    sound = (info == 0) & step.isfinite().flatten(1).all(-1)
    return torch.where(sound[:, None], h - step.squeeze(-1), h)
