"""Closed-form 3 x 3 algebra, shared by most ops of this package.

It batches, compiles, and never raises on a singular matrix.
"""

from __future__ import annotations

import torch
from torch import Tensor

from diar_ops._checks import eps_of


def scale_to_unit(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Divide each matrix (..., 3, 3) by its largest magnitude, so that nothing overflows later.

    Returns:
        The scaled matrix, the identity where the input is zero or not finite, and ``usable``
        (...,) bool, False exactly there.
    """
    magnitude = matrix.detach().abs().amax(dim=(-2, -1), keepdim=True)
    usable = (magnitude > 0) & (magnitude < torch.inf)
    identity = torch.eye(3, dtype=matrix.dtype, device=matrix.device)
    # The inner where keeps NaN out of the division, whose gradient would spread it.
    safe = torch.where(usable, matrix, identity)
    return safe / torch.where(usable, magnitude, 1), usable[..., 0, 0]


def unfold_symmetric(entries: Tensor) -> Tensor:
    """Return symmetric matrices (..., 3, 3) from their entries (..., 6): 00, 01, 02, 11, 12, 22."""
    a, b, c, d, e, f = entries.unbind(-1)
    return torch.stack((a, b, c, b, d, e, c, e, f), -1).reshape(*a.shape, 3, 3)


def normal_matrix(moments: Tensor) -> Tensor:
    """Return (..., 9, 9) from moments (..., 4, 9) of ``s s^T`` with weights 1, -x, -y, x^2 + y^2.

    The Jacobian of a residual pair is ``[s, 0, -x s; 0, s, -y s] / w`` with ``s = (x, y, 1)`` of
    the source.
    """
    diagonal, in_x, in_y, square = moments.reshape(*moments.shape[:-1], 3, 3).unbind(-3)
    zero = torch.zeros_like(diagonal)
    rows = [
        torch.cat([diagonal, zero, in_x], -1),
        torch.cat([zero, diagonal, in_y], -1),
        torch.cat([in_x, in_y, square], -1),
    ]
    return torch.cat(rows, -2)


def determinant(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return the determinant (...,) of (..., 3, 3) and whether it is more than rounding noise.

    The noise is judged against the sum of the magnitudes of the six products: unlike a condition
    number, that does not call a plain translation by a few thousand pixels singular.
    """
    a, b, c, d, e, f, g, h, i = matrix.flatten(-2).unbind(-1)
    plus = torch.stack((a * e * i, b * f * g, c * d * h), dim=-1)
    minus = torch.stack((c * e * g, b * d * i, a * f * h), dim=-1)
    det = (plus - minus).sum(-1)
    noise = eps_of(matrix.dtype) * (plus.detach().abs() + minus.detach().abs()).sum(-1)
    return det, det.detach().abs() > noise


def adjugate(matrix: Tensor) -> Tensor:
    """Return adj(M) of (..., 3, 3): M adj(M) = det(M) I, defined for singular M too."""
    r0, r1, r2 = matrix.unbind(-2)
    columns = (torch.linalg.cross(r1, r2), torch.linalg.cross(r2, r0), torch.linalg.cross(r0, r1))
    return torch.stack(columns, dim=-1)


def invert(matrix: Tensor) -> Tensor:
    """Return the inverse of (..., 3, 3), which is not finite where a matrix is singular."""
    return adjugate(matrix) / determinant(matrix)[0][..., None, None]


def denormalize(h: Tensor, src_mean: Tensor, src_scale: Tensor, dst_mean: Tensor, dst_scale: Tensor) -> Tensor:
    """Return T_dst^-1 @ H @ T_src of (B, 3, 3), where T = [s I, -s m; 0, 1], written out.

    Args:
        h: (B, 3, 3) between points that are shifted by the mean m and scaled by s.
        src_mean: (B, 2) m of the source.
        src_scale: (B,) s of the source.
        dst_mean: (B, 2) of the destination.
        dst_scale: (B,) of the destination.
    """
    linear = h[..., :2] * src_scale[:, None, None]  # [B, 3, 2]
    last = h[..., 2] - (linear * src_mean[:, None]).sum(-1)  # [B, 3]
    h = torch.cat([linear, last[..., None]], -1)
    top = h[:, :2] / dst_scale[:, None, None] + dst_mean[..., None] * h[:, 2:]
    return torch.cat([top, h[:, 2:]], 1)


def front_sign(homography: Tensor, front: Tensor | None = None) -> Tensor:
    """Return the sign (...,) of +-1 that makes w positive at the source point ``front``.

    Args:
        homography: (..., 3, 3).
        front: (..., 2) source point in pixels; ``None`` is the origin. Not finite counts as the
            origin.

    Returns:
        (...,) +1 or -1 in the dtype of ``homography``. Where w is 0 at ``front`` (or vanishes in
        rounding), the sign of the determinant decides: the side that is not mirrored is in front.
    """
    row = homography.detach()[..., 2, :]
    if front is None:
        w = row[..., 2]
        noise = torch.zeros_like(w)
    else:
        xy = torch.where(front.isfinite(), front, 0).detach()
        products = row * torch.cat((xy, torch.ones_like(xy[..., :1])), dim=-1)
        w = products.sum(-1)
        noise = 4 * torch.finfo(w.dtype).eps * products.abs().sum(-1)
    det, _ = determinant(homography.detach())
    decided = torch.where(w.abs() > noise, w, det)
    return torch.where(decided < 0, -1.0, 1.0).to(homography.dtype)
