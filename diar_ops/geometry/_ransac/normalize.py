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
#: How many points say how far the others lie.
_SAMPLED = 128
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

    pixels: Tensor  # (B, 4, n) x, y, x', y' in pixels, 0 beyond number
    points: Tensor  # (B, 4, n) the same in the search's unit, out of reach beyond number
    weight: Tensor  # (B, n), 0 beyond number
    number: Tensor  # (B,) of usable correspondences
    order: Tensor  # (B, n) index of each into the input
    near: Tensor  # (B, n) bool, usable ones that do not lie absurdly far from the others
    unit: Unit

    @property
    def usable(self) -> Tensor:
        """(B, n) bool, False beyond number."""
        return torch.arange(self.pixels.shape[2], device=self.pixels.device) < self.number[:, None]

    def items(self, index: Tensor) -> NormalizedMatches:
        """Return the batch items ``index``."""
        unit = Unit(*(x[index] for x in self.unit))
        pixels, points, weight, number, order, near = (x[index] for x in self[:-1])
        return NormalizedMatches(pixels, points, weight, number, order, near, unit)


def normalize_matches(
    points_src: Tensor, points_dst: Tensor, valid: Tensor | None, score: Tensor | None, weights: Tensor | None
) -> NormalizedMatches:
    """Bring the arguments of ``ransac_homography`` into the coordinates of the search.

    Coordinates lie in rows, and masks are multiplied with: selecting takes ten times as long.
    """
    wide = widest_dtype(points_src.device)
    pixels = torch.cat([points_src.mT.to(wide), points_dst.mT.to(wide)], 1)
    usable = (pixels * 0.0).sum(1) == 0  # neither NaN nor infinite
    if valid is not None:
        usable = usable & valid
    count = usable.sum(-1)
    n = usable.shape[1]
    on_cpu = usable.device.type == "cpu"  # a GPU would have to wait for the number
    if on_cpu:
        n = int(count.max()) if count.numel() else 0
    if on_cpu and score is None and n == usable.shape[1] and bool((count == n).all()):
        order = torch.arange(n).expand_as(usable)
    else:
        order = _order(usable, score)[:, :n]
        usable = torch.arange(n, device=order.device) < count[:, None]
        pixels = pixels.gather(2, order[:, None].expand(-1, 4, -1)).masked_fill_(~usable[:, None], 0.0)
    counts = usable.to(wide)
    weight = counts
    if weights is not None:
        sorted_weights = weights.gather(1, order)
        positive = usable & sorted_weights.isfinite() & (sorted_weights > 0)
        weight = torch.where(positive, sorted_weights, 0.0).to(wide)

    near_src, near_dst = _near(pixels, usable, count)
    both = torch.stack((near_src, near_dst), 1).to(wide)[:, :, None]  # [B, 2, 1, n]
    sides = pixels.view(len(count), 2, 2, n)
    total = both.sum(-1, keepdim=True).clamp_min(1)
    mean = (both * sides).sum(-1, keepdim=True) / total  # [B, 2, 2, 1]
    centred = (sides - mean) * counts[:, None, None]
    spread = ((both * centred).square().sum((2, 3), keepdim=True) / (2.0 * total)).sqrt()
    scale = torch.where((spread > 0) & spread.isfinite(), 1.0 / spread, 1.0)  # [B, 2, 1, 1]
    points = (centred * scale).clamp_(-_FARTHEST, _FARTHEST)
    points[:, 1] += _OUT_OF_REACH * (1.0 - counts[:, None])
    return NormalizedMatches(
        pixels=pixels,
        points=points.view(len(count), 4, n),
        weight=weight,
        number=count,
        order=order,
        near=near_src & near_dst,
        unit=Unit(*mean[..., 0].unbind(1), *scale[..., 0, 0].unbind(1)),
    )


def _near(pixels: Tensor, usable: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Return (B, n) bool for either side, which ``usable`` points have a say in the scale.

    A single one far away, which is wrong, would shrink all others to a spot. How far the others lie
    is judged by a sample of them.
    """
    if pixels.shape[2] == 0:
        return usable, usable
    position = (torch.arange(_SAMPLED, device=count.device) + 0.5) / _SAMPLED
    index = (position * count[:, None]).to(torch.int64)
    sample = pixels.gather(2, index[:, None].expand(-1, 4, -1))
    middle = sample.median(-1, keepdim=True).values
    rank = round(_MOST * (_SAMPLED - 1)) + 1
    usual = (sample - middle).abs_().view(len(count), 2, 2, _SAMPLED).amax(2).kthvalue(rank, -1, keepdim=True).values
    distance = (pixels - middle).abs_().view(len(count), 2, 2, pixels.shape[2]).amax(2)
    # Where most lie in one spot, nothing is far.
    near = usable[:, None] & ((distance <= _FAR * usual) | (usual == 0))
    return near[:, 0], near[:, 1]


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
