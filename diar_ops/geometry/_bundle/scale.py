"""Robust scale of the residuals: the noise of right matches, found among mostly wrong ones.

Of a right match, whose coordinates err normally by s, the squared Sampson distance e is
exponentially distributed with mean 2 s^2. Wrong matches lie anywhere: their distances are those of
points spread evenly over the plane, so that about 0 the density of e is flat. The scale of the
right ones is found as an astronomer measures a star (aperture photometry): the count in the ring
around a disc tells the background in the disc. With both taken in proportion to a candidate s, the
mean of e over the disc, less the background, is what the exponential distribution says if s is
right, more if s is too small, and less if it is too large.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops.geometry._bundle.pairs import per_item

#: Smallest scale, in pixels; candidates: four per octave, up to 400 px.
MIN_SCALE = 0.01
_PER_OCTAVE, _CANDIDATES = 4, 62
#: Radii of the disc and of the ring around it: 2^1.5 and 2^2.5 s.
_DISC, _RING = round(1.5 * _PER_OCTAVE), round(2.5 * _PER_OCTAVE)
#: Half the squares of these radii, the exponents of the normal density there.
_DISC_EXPONENT, _RING_EXPONENT = 4.0, 16.0
#: Of right matches: the share in the disc and in the ring, and the mean of e / 2 s^2 over the disc
#: times that share. The ring's area in discs.
_IN_DISC = 1 - math.exp(-_DISC_EXPONENT)
_IN_RING = math.exp(-_DISC_EXPONENT) - math.exp(-_RING_EXPONENT)
_MOMENT = 1 - (1 + _DISC_EXPONENT) * math.exp(-_DISC_EXPONENT)
_RING_AREA = _RING_EXPONENT / _DISC_EXPONENT - 1
#: A scale is significant if the count of right matches exceeds as many of its standard deviations
#: and this share of all matches, of a pair or of all pairs.
_SIGNIFICANT, _MIN_SHARE, _MIN_POOLED_SHARE = 5.0, 0.15, 0.05
#: A pair whose scale is more than this share of half its photo's diagonal is misaligned.
_MAX_SCALE = 0.05
#: The share of the matches whose spread stands for the scale where none is significant: the
#: quantile of their distances, over that of the length of a normal vector in the plane.
_QUANTILE = 0.3
_NORMAL_QUANTILE = math.sqrt(-2 * math.log(1 - _QUANTILE))


class PairScales(NamedTuple):
    """Standard deviations of a coordinate of right matches, of Q = B P pairs, in pixels."""

    own: Tensor  # (Q,) of each pair by itself; inf without matches
    significant: Tensor  # (Q,) bool, whether enough of its matches support it
    typical: Tensor  # (Q,) median over the pairs of its item


def estimate_scales(squares: Tensor, half_diagonal: Tensor, batch: int) -> PairScales:
    """Estimate the scale of every pair from the squared distances of its matches.

    Args:
        squares: (Q, N) in px^2; inf for matches that do not count.
        half_diagonal: (Q,) of a photo of the pair, in pixels.
        batch: B, the number of items; Q = B P.
    """
    if squares.numel() == 0:
        nothing = squares.new_full((len(squares),), torch.inf)
        insignificant = torch.zeros_like(nothing, dtype=torch.bool)
        return PairScales(nothing, insignificant, torch.ones_like(nothing))
    ordered = squares.sort(dim=1)[0]
    number = ordered.isfinite().sum(1)
    counts, sums = _below(ordered)
    scale, right = _supported_scale(counts, sums, number, _MIN_SHARE)
    significant = scale.isfinite()
    index = (_QUANTILE * number).to(torch.int64).clamp_max(squares.shape[1] - 1)
    spread = ordered.gather(1, index[:, None])[:, 0].sqrt() / _NORMAL_QUANTILE
    own = torch.where(significant, scale, spread)

    narrow = significant & (scale < _MAX_SCALE * half_diagonal)
    typical = _weighted_median(per_item(own, batch), per_item(torch.where(narrow, right, 0), batch))
    whole, sizes, total = (per_item(x, batch).sum(1) for x in (counts, sums, number))
    pooled, _ = _supported_scale(whole, sizes, total, _MIN_POOLED_SHARE)
    plain = _weighted_median(per_item(own, batch), per_item(own.isfinite().to(own.dtype), batch))
    for fallback in (pooled, plain, torch.ones_like(plain)):
        typical = torch.where(typical.isfinite(), typical, fallback)
    typical = typical.clamp_min(MIN_SCALE)
    return PairScales(own, significant, typical.repeat_interleave(len(squares) // max(batch, 1)))


def _below(ordered: Tensor) -> tuple[Tensor, Tensor]:
    """Return the number and the sum (Q, candidates + ring) of distances below each radius."""
    steps = torch.arange(_CANDIDATES + _RING, dtype=ordered.dtype, device=ordered.device)
    radii = MIN_SCALE**2 * 2 ** (2 * steps / _PER_OCTAVE)
    index = torch.searchsorted(ordered, radii.expand(len(ordered), -1).contiguous())
    total = torch.where(ordered.isfinite(), ordered, 0.0).cumsum(1)
    total = torch.nn.functional.pad(total, (1, 0))
    return index.to(ordered.dtype), total.gather(1, index)


def _supported_scale(counts: Tensor, sums: Tensor, number: Tensor, least_share: float) -> tuple[Tensor, Tensor]:
    """Return the smallest scale (...,) that is significant, inf if none, and its right matches."""
    disc = counts[..., _DISC : _DISC + _CANDIDATES]
    ring = counts[..., _RING : _RING + _CANDIDATES] - disc
    right = (disc - ring / _RING_AREA) / (_IN_DISC - _IN_RING / _RING_AREA)
    background = (ring - right * _IN_RING) / _RING_AREA
    steps = torch.arange(_CANDIDATES, dtype=counts.dtype, device=counts.device)
    scale = MIN_SCALE * 2 ** (steps / _PER_OCTAVE)
    measured = sums[..., _DISC : _DISC + _CANDIDATES] / (2 * scale.square())
    expected = _MOMENT * right + _DISC_EXPONENT / 2 * background
    deviation = (disc + ring / _RING_AREA**2).clamp_min(1).sqrt()
    significant = (right > _SIGNIFICANT * deviation) & (right > least_share * number[..., None])
    fits = significant & (measured <= expected)
    last = fits.to(torch.uint8).argmax(-1, keepdim=True)
    # Between this candidate, which is too wide, and the one before, which is too narrow.
    before = (last - 1).clamp_min(0)
    excess, lack = ((measured - expected).gather(-1, i)[..., 0] for i in (before, last))
    part = (excess / (excess - lack).clamp_min(1e-30)).clamp(0, 1)
    part = torch.where((last > 0)[..., 0], part, 1.0)
    estimate = scale[last[..., 0]] * 2 ** ((part - 1) / _PER_OCTAVE)
    return torch.where(fits.any(-1), estimate, torch.inf), right.gather(-1, last)[..., 0]


def _weighted_median(x: Tensor, weight: Tensor) -> Tensor:
    """Return the lower median (B,) of (B, P) with weights; inf without any."""
    if x.shape[1] == 0:
        return x.new_full((len(x),), torch.inf)
    x, order = torch.where(weight > 0, x, torch.inf).sort(dim=1)
    total = weight.gather(1, order).cumsum(1)
    first = (total >= total[:, -1:] / 2).to(torch.uint8).argmax(1, keepdim=True)
    return x.gather(1, first)[:, 0]
