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


class NormalizedMatches(NamedTuple):
    """Usable correspondences first, centred and scaled to unit spread."""

    src: Tensor  # (B, n, 2) in pixels, 0 beyond number
    dst: Tensor  # (B, n, 2)
    points: Tensor  # (B, 4, n) x, y, x', y' normalised, out of reach beyond number
    weight: Tensor  # (B, n), 0 beyond number
    number: Tensor  # (B,) of usable correspondences
    order: Tensor  # (B, n) index of each into the input
    src_mean: Tensor  # (B, 2)
    dst_mean: Tensor  # (B, 2)
    src_scale: Tensor  # (B,), multiplies pixels
    dst_scale: Tensor  # (B,)

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

    total = count.clamp_min(1).to(wide)

    def normalize(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean = points.detach().sum(1) / total[:, None]
        centred = torch.where(usable[..., None], points.detach() - mean[:, None], 0.0)
        spread = (centred.square().sum((1, 2)) / (2.0 * total)).sqrt()
        scale = torch.where((spread > 0) & spread.isfinite(), 1.0 / spread, 1.0)
        return mean, scale, (centred * scale[:, None, None]).mT

    src_mean, src_scale, src_hat = normalize(src)
    dst_mean, dst_scale, dst_hat = normalize(dst)
    dst_hat = torch.where(usable[:, None], dst_hat, _OUT_OF_REACH)
    return NormalizedMatches(
        src=src,
        dst=dst,
        points=torch.cat([src_hat, dst_hat], 1),
        weight=weight,
        number=count,
        order=order,
        src_mean=src_mean,
        dst_mean=dst_mean,
        src_scale=src_scale,
        dst_scale=dst_scale,
    )


def _order(usable: Tensor, score: Tensor | None) -> Tensor:
    """Return the order (B, N): usable correspondences first, the best ``score`` first of these."""
    if score is None:
        return usable_first(usable)
    # No usable score may fall behind the unusable points, not even NaN or -inf.
    least = torch.finfo(score.dtype).min
    rated = score.detach().nan_to_num(least, neginf=least)
    return torch.where(usable, rated, -torch.inf).argsort(dim=-1, descending=True, stable=True)


def to_pixels(h: Tensor, data: NormalizedMatches) -> tuple[Tensor, Tensor]:
    """Return ``h`` (B, 9) as (B, 3, 3) in pixels with determinant 1, and where that exists."""
    h = h.reshape(-1, 3, 3)
    det = torch.linalg.det(h)
    regular = (det > 1e-12) & det.isfinite()
    h = denormalize(h, data.src_mean, data.src_scale, data.dst_mean, data.dst_scale)
    size = torch.where(regular, det * (data.src_scale / data.dst_scale) ** 2, 1.0) ** (1 / 3)
    return h / size[:, None, None], regular
