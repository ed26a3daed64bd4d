"""How well many homographies at once are supported by correspondences, without a division too many.

Residuals are in units of the inlier threshold. ``u - x' w`` is linear in the homography, so that
one matrix product per coordinate gives all of them: (B, P, 6) @ (B, 6, N).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["MAX_AREA_CHANGE", "Correspondences", "depth_range", "misfit", "take"]

#: A homography that changes the area around an inlier by more than this factor, with both sets
#: scaled to unit spread, shows a sheet edge-on and is not believed.
MAX_AREA_CHANGE = 1e3
#: What a point beyond the smallest depth adds to the misfit, per unit of depth, and that depth at
#: least, for homographies of unit norm.
_BEHIND = 1e12
_MIN_DEPTH = 1e-6


class Correspondences(NamedTuple):
    """Correspondences in normalised coordinates, packed for matrix products."""

    points: Tensor  # (B, 4, N): x, y, x', y'
    rows_u: Tensor  # (B, 6, N)
    rows_v: Tensor  # (B, 6, N)
    rows_w: Tensor  # (B, 3, N)

    @classmethod
    def pack(cls, points: Tensor, threshold: Tensor) -> Correspondences:
        """Pack ``points`` (B, 4, N) for residuals in units of ``threshold`` (B,)."""
        unit = 1.0 / threshold[:, None, None]
        homogeneous = torch.cat([points[:, :2], torch.ones_like(points[:, :1])], 1)
        scaled = homogeneous * unit
        rows_u = torch.cat([scaled, -points[:, 2:3] * scaled], 1)
        rows_v = torch.cat([scaled, -points[:, 3:4] * scaled], 1)
        return cls(points, rows_u, rows_v, homogeneous)

    def columns(self, index: Tensor) -> Correspondences:
        """Return the correspondences ``index`` (B, S) of each item."""
        return Correspondences(
            *(x.gather(2, index[:, None].expand(-1, x.shape[1], -1)) for x in self)
        )

    def items(self, keep: Tensor) -> Correspondences:
        """Return the batch items ``keep`` (indices)."""
        return Correspondences(*(x[keep] for x in self))


def depth_range(h: Tensor) -> tuple[Tensor, Tensor]:
    """Return the range of ``w`` (..., 1) in which the homographies (..., 9) are believed.

    The local change of area is ``det H / w^3`` (positive: not mirrored, and in front).
    """
    det = torch.linalg.det(h.reshape(*h.shape[:-1], 3, 3)).clamp_min(0.0)
    low = (det / MAX_AREA_CHANGE).pow(1 / 3)[..., None]
    return low, low * MAX_AREA_CHANGE ** (2 / 3)


def misfit(h: Tensor, matches: Correspondences, *, guarded: bool) -> Tensor:
    """Return squared residuals (B, P, N) of homographies (B, P, 9), in squared thresholds.

    With ``guarded``, residuals of points behind the camera or absurdly enlarged are huge; the
    homographies then need unit norm. Without it they are what they are: enough for a first look.
    """
    top, middle, bottom = h[..., :3], h[..., 3:6], h[..., 6:]
    error = torch.bmm(torch.cat([top, bottom], -1), matches.rows_u)
    other = torch.bmm(torch.cat([middle, bottom], -1), matches.rows_v)
    w = torch.bmm(bottom, matches.rows_w)
    error.mul_(error).addcmul_(other, other)
    if guarded:
        low = depth_range(h)[0].clamp_min(_MIN_DEPTH)
        error.add_((low - w).clamp_min_(0.0), alpha=_BEHIND)
        w.clamp_(min=low)
    return error.div_(w.mul_(w))


def take(values: Tensor, index: Tensor) -> Tensor:
    """Return rows ``index`` (B, K) of ``values`` (B, P, C)."""
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[-1]))
