"""Sort, centre and scale correspondences for the search, and bring homographies back to pixels."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._checks import widest_dtype
from diar_ops.geometry._matrix3 import denormalize
from diar_ops.geometry._partition import usable_first

#: Where a point that does not count is put, in units of the spread of the others.
_OUT_OF_REACH = 1e3
#: A point is far that lies so many times as far from the median as this share of the others does.
_FAR, _MOST = 30.0, 0.8
#: Where far points are put at most, in that unit: their squares must not overflow.
_FARTHEST = 1e4


class Unit(NamedTuple):
    """The coordinates of the search: pixels less ``mean``, times ``scale``, on either side."""

    src_mean: Tensor  # (B, 2)
    dst_mean: Tensor  # (B, 2)
    src_scale: Tensor  # (B,)
    dst_scale: Tensor  # (B,)


class NormalizedMatches(NamedTuple):
    """Usable correspondences first, centred and scaled to unit spread."""

    src: Tensor  # (B, n, 2) in pixels, 0 beyond number
    dst: Tensor  # (B, n, 2)
    points: Tensor  # (B, 4, n) x, y, x', y' in the search's unit, out of reach beyond number
    weight: Tensor  # (B, n), 0 beyond number
    number: Tensor  # (B,) of usable correspondences
    order: Tensor  # (B, n) index of each into the input
    near: Tensor  # (B, n) bool, usable ones that do not lie absurdly far from the others
    unit: Unit

    @property
    def usable(self) -> Tensor:
        """(B, n) bool, False beyond number."""
        return torch.arange(self.src.shape[1], device=self.src.device) < self.number[:, None]


def normalize_matches(
    points_src: Tensor, points_dst: Tensor, valid: Tensor | None, score: Tensor | None, weights: Tensor | None
) -> NormalizedMatches:
    """Bring the arguments of ``ransac_homography`` into the coordinates of the search."""
    wide = widest_dtype(points_src.device)
    usable = (points_src.isfinite() & points_dst.isfinite()).all(-1)
    if valid is not None:
        usable = usable & valid
    count = usable.sum(-1)
    n = usable.shape[1]
    if usable.device.type == "cpu":  # a GPU would have to wait for the number
        n = int(count.max()) if count.numel() else 0
    order = _order(usable, score)[:, :n]
    usable = torch.arange(n, device=order.device) < count[:, None]

    def collect(points: Tensor) -> Tensor:
        sorted_points = points.gather(1, order[..., None].expand(-1, -1, 2))
        return torch.where(usable[..., None], sorted_points, 0.0).to(wide)

    src, dst = collect(points_src), collect(points_dst)
    if weights is None:
        weight = usable.to(wide)
    else:
        sorted_weights = weights.gather(1, order)
        positive = usable & sorted_weights.isfinite() & (sorted_weights > 0)
        weight = torch.where(positive, sorted_weights, 0.0).to(wide)

    def normalize(points: Tensor, near: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        total = near.sum(-1).clamp_min(1).to(wide)
        mean = torch.where(near[..., None], points, 0.0).sum(1) / total[:, None]
        centred = torch.where(usable[..., None], points - mean[:, None], 0.0)
        square = torch.where(near[..., None], centred, 0.0).square().sum((1, 2))
        spread = (square / (2.0 * total)).sqrt()
        scale = torch.where((spread > 0) & spread.isfinite(), 1.0 / spread, 1.0)
        return mean, scale, (centred * scale[:, None, None]).clamp(-_FARTHEST, _FARTHEST).mT

    near_src, near_dst = _near(src, usable), _near(dst, usable)
    src_mean, src_scale, src_hat = normalize(src, near_src)
    dst_mean, dst_scale, dst_hat = normalize(dst, near_dst)
    dst_hat = torch.where(usable[:, None], dst_hat, _OUT_OF_REACH)
    return NormalizedMatches(
        src=src,
        dst=dst,
        points=torch.cat([src_hat, dst_hat], 1),
        weight=weight,
        number=count,
        order=order,
        near=near_src & near_dst,
        unit=Unit(src_mean, dst_mean, src_scale, dst_scale),
    )


def _near(points: Tensor, usable: Tensor) -> Tensor:
    """Return (B, n) bool, which ``usable`` points of (B, n, 2) have a say in the scale.

    A single one far away, which is wrong, would shrink all others to a spot.
    """
    if points.shape[1] == 0:
        return usable
    middle = torch.where(usable[..., None], points, torch.nan).nanmedian(1, keepdim=True).values
    distance = (points - middle).abs().amax(-1)
    ordered = torch.where(usable, distance, torch.inf).sort(-1).values
    most = (_MOST * (usable.sum(-1, keepdim=True) - 1)).clamp_min(0).to(torch.int64)
    reach = _FAR * ordered.gather(1, most)
    # Where most lie in one spot, nothing is far.
    return usable & ~((distance > reach) & (reach > 0))


def _order(usable: Tensor, score: Tensor | None) -> Tensor:
    """Return the order (B, N): usable correspondences first, the best ``score`` first of these."""
    if score is None:
        return usable_first(usable)
    # No usable score may fall behind the unusable points, not even NaN or -inf.
    least = torch.finfo(score.dtype).min
    rated = score.detach().nan_to_num(least, neginf=least)
    return torch.where(usable, rated, -torch.inf).argsort(dim=-1, descending=True, stable=True)


def to_pixels(h: Tensor, unit: Unit) -> tuple[Tensor, Tensor]:
    """Return ``h`` (B, 9) as (B, 3, 3) in pixels with determinant 1, and where that exists."""
    h = h.reshape(-1, 3, 3)
    det = torch.linalg.det(h)
    regular = (det > 1e-12) & det.isfinite()
    h = denormalize(h, unit.src_mean, unit.src_scale, unit.dst_mean, unit.dst_scale)
    size = torch.where(regular, det * (unit.src_scale / unit.dst_scale) ** 2, 1.0) ** (1 / 3)
    return h / size[:, None, None], regular
