"""Which side of its horizon a homography shows."""

from __future__ import annotations

import torch
from torch import Tensor

from diar_ops.geometry._matrix3 import determinant

__all__ = ["front_sign"]


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
