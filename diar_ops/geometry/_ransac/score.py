"""Score hypotheses: how well many homographies at once agree with correspondences.

Residuals are in units of the inlier threshold. ``u - x' w`` is linear in the homography, so that
one matrix product per coordinate gives all of them: (B, P, 6) @ (B, 6, N).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

#: A homography that changes the area around an inlier by more than this factor, with both sets
#: scaled to unit spread, shows a sheet edge-on and is implausible.
_MAX_AREA_CHANGE = 1e3
#: What a point beyond the smallest depth adds to the residual, per unit of depth, and that depth
#: at least, for homographies of unit norm.
_BEHIND = 1e12
_MIN_DEPTH = 1e-6
#: Squared residual, in squared thresholds, from which preliminary costs count a point as an
#: outlier: a minimal sample of noisy points misses many inliers by more than one threshold.
_PRELIMINARY_REACH = 4.0
#: Residuals whose temporaries stay in a core's cache.
_RESIDUALS_PER_CHUNK = 1 << 18


class PackedMatches(NamedTuple):
    """Correspondences in normalised coordinates, packed for matrix products."""

    points: Tensor  # (B, 4, N): x, y, x', y'
    rows_u: Tensor  # (B, 6, N)
    rows_v: Tensor  # (B, 6, N)
    rows_w: Tensor  # (B, 3, N)

    @classmethod
    def pack(cls, points: Tensor, threshold: Tensor) -> PackedMatches:
        """Pack ``points`` (B, 4, N) for residuals in units of ``threshold`` (B,)."""
        unit = 1.0 / threshold[:, None, None]
        homogeneous = torch.cat([points[:, :2], torch.ones_like(points[:, :1])], 1)
        scaled = homogeneous * unit
        rows_u = torch.cat([scaled, -points[:, 2:3] * scaled], 1)
        rows_v = torch.cat([scaled, -points[:, 3:4] * scaled], 1)
        return cls(points, rows_u, rows_v, homogeneous)

    def every(self, step: int) -> PackedMatches:
        """Return every so many-th correspondence of each item."""
        return PackedMatches(*(x[..., ::step].contiguous() for x in self))

    def items(self, index: Tensor) -> PackedMatches:
        """Return the batch items ``index``."""
        return PackedMatches(*(x[index] for x in self))


def stratified_index(count: Tensor, offset: Tensor) -> Tensor:
    """Return (B, S) indices of points, one at random from each of S equal parts of the first."""
    number = offset.shape[0]
    position = (torch.arange(number, device=offset.device) + offset) / number
    return (position * count[:, None]).long().minimum(count[:, None] - 1)


def plausible_depths(h: Tensor) -> tuple[Tensor, Tensor]:
    """Return the range of ``w`` (..., 1) in which the homographies (..., 9) are plausible.

    The local change of area is ``det H / w^3`` (positive: not mirrored, and in front).
    """
    det = torch.linalg.det(h.reshape(*h.shape[:-1], 3, 3)).clamp_min(0.0)
    low = (det / _MAX_AREA_CHANGE).pow(1 / 3)[..., None]
    return low, low * _MAX_AREA_CHANGE ** (2 / 3)


def squared_residuals(h: Tensor, matches: PackedMatches, *, guarded: bool) -> Tensor:
    """Return squared residuals (B, P, N) of homographies (B, P, 9), in squared thresholds.

    With ``guarded``, residuals of points behind the camera or absurdly enlarged are huge; the
    homographies then need unit norm. Without it they are what they are: enough to preselect.
    """
    top, middle, bottom = h[..., :3], h[..., 3:6], h[..., 6:]
    error = torch.bmm(torch.cat([top, bottom], -1), matches.rows_u)
    other = torch.bmm(torch.cat([middle, bottom], -1), matches.rows_v)
    w = torch.bmm(bottom, matches.rows_w)
    error.mul_(error).addcmul_(other, other)
    if guarded:
        low = plausible_depths(h)[0].clamp_min(_MIN_DEPTH)
        error.add_((low - w).clamp_min_(0.0), alpha=_BEHIND)
        w.clamp_(min=low)
    return error.div_(w.mul_(w))


def msac_cost(h: Tensor, matches: PackedMatches) -> Tensor:
    """Return (B, P), the sums of squared residuals in squared thresholds, each at most 1.

    Source: Torr & Zisserman, MLESAC, CVIU 2000.
    """
    residuals = squared_residuals(h, matches, guarded=True)
    return residuals.clamp_(max=1.0).sum(-1).nan_to_num(torch.inf)


def preliminary_cost(h: Tensor, matches: PackedMatches) -> Tensor:
    """Return (B, P), the truncated sums of squared residuals without a look at the depths."""
    residuals = squared_residuals(h, matches, guarded=False)
    return residuals.clamp_(max=_PRELIMINARY_REACH).sum(-1).nan_to_num(torch.inf)


def preselect(chunks: Iterable[tuple[Tensor, Tensor]], few: PackedMatches, number: int) -> Tensor:
    """Return the ``number`` best hypotheses (B, K, 9) of all chunks, judged by a few matches.

    Args:
        chunks: Homographies (B, P, 9) and (B, P) which of them are real.
        few: The correspondences to look at.
        number: Hypotheses to keep per item, at most.
    """
    batch, _, looks = few.points.shape
    width = max(_RESIDUALS_PER_CHUNK // (batch * looks), 8)
    kept = few.points.new_zeros(batch, 0, 9)
    kept_cost = few.points.new_zeros(batch, 0)
    for hypotheses, real in chunks:
        pieces = [preliminary_cost(piece, few) for piece in torch.split(hypotheses, width, 1)]
        cost = torch.cat(pieces, 1).masked_fill_(~real, torch.inf)
        hypotheses, cost = torch.cat([kept, hypotheses], 1), torch.cat([kept_cost, cost], 1)
        kept, kept_cost = take_best(hypotheses, cost, number)
    return kept


def take_best(hypotheses: Tensor, cost: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """Return the ``number`` cheapest of hypotheses (B, P, 9), and their costs; all if P is less."""
    cost, index = cost.topk(min(number, cost.shape[1]), dim=1, largest=False)
    return hypotheses.gather(1, index[..., None].expand(-1, -1, hypotheses.shape[-1])), cost
