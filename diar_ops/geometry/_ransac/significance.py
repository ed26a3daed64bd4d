"""Tests of the support of a homography: against chance, and against degenerate points."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diar_ops._types import Reason
from diar_ops.geometry._ransac.normalize import NormalizedMatches
from diar_ops.geometry._ransac.score import plausible_depths

#: log10 of the expected number of equally good fits to random pairs above which a fit is chance.
_MAX_LOG_FALSE_ALARMS = -3.0
#: Half the width of the band, in thresholds, within which points count as lying on a line.
_LINE_BAND = 2.0
#: How many pairs propose a line.
LINE_PROPOSALS = 32
#: Of a multiplicative hash.
_MULTIPLIER = 0x2C1B3C6D


def find_inliers(homography: Tensor, data: NormalizedMatches, threshold: float) -> Tensor:
    """Return (B, n), which correspondences agree with homographies (B, 3, 3) of determinant 1."""
    projected = torch.baddbmm(homography[..., 2:], homography[..., :2], data.pixels[:, :2])
    w = projected[:, 2]
    error = (projected[:, :2] / w[:, None] - data.pixels[:, 2:]).square().sum(1)
    # det H = 1: the change of area is 1 / w^3, relative to the scale of the two sets.
    low, high = plausible_depths(homography.flatten(1))
    relative = ((data.unit.dst_scale / data.unit.src_scale) ** (2 / 3))[:, None]
    low, high = low * relative, high * relative
    return data.usable & (error < threshold**2) & (w > low) & (w < high)


def judge_support(
    inliers: Tensor,
    data: NormalizedMatches,
    draws: Tensor,
    *,
    threshold: float,
    independence: float,
    has_input: Tensor | bool,
) -> Tensor:
    """Return (B,) the :class:`Reason` of each item.

    Args:
        inliers: (B, n) bool, the support of each item's homography.
        data: The correspondences.
        draws: (3, K) uniform random numbers in [0, 1), for lines through pairs of points.
        threshold: Largest error of an inlier, in pixels of the destination.
        independence: Correspondences nearer than this many pixels are one piece of evidence.
        has_input: (B,) bool, False for items that came without any correspondence.
    """
    # Correspondences of the same two places are one piece of evidence.
    src_cell = (independence * data.unit.dst_scale / data.unit.src_scale)[:, None, None]
    chance = _chance_probability(data.pixels[:, 2:], data.near, threshold)
    pixels = data.pixels.to(torch.float32)
    src, dst = pixels[:, :2], pixels[:, 2:]
    cells = torch.cat([src / src_cell.to(torch.float32), dst / independence], 1)
    usable = data.usable
    independent = _first_of_each(cells, usable, inliers)
    inliers, usable = inliers & independent, usable & independent
    support, number = inliers.sum(-1), usable.sum(-1)
    significant = _log_false_alarms(number, support, chance) < _MAX_LOG_FALSE_ALARMS

    # Support that is significant must not hang on a line; without it, all usable points are asked.
    members = torch.where(significant[:, None], inliers, usable)
    relative = (data.unit.dst_scale / data.unit.src_scale).to(torch.float32)
    band = _LINE_BAND * threshold * torch.stack([relative, torch.ones_like(relative)], 1)
    off, off_all = _off_line_counts(pixels, members, usable, band, draws)
    # A line's image fixes five of eight parameters: one and a half pairs come for nothing.
    beyond = _log_false_alarms(off_all, off, chance[:, None], free=1.5, sample=2)
    mostly_on_line = (off <= 1) | (off * 5 <= number[:, None])
    by_chance = beyond >= _MAX_LOG_FALSE_ALARMS
    on_line = torch.where(significant[:, None], by_chance, mostly_on_line).any(-1)

    reason = torch.full_like(data.number, int(Reason.OK))
    reason = torch.where(significant, reason, int(Reason.CHANCE_LEVEL))
    reason = torch.where(on_line, int(Reason.COLLINEAR), reason)
    reason = torch.where(data.number < 4, int(Reason.TOO_FEW), reason)
    return torch.where((data.number == 0) & has_input, int(Reason.NOT_FINITE), reason)


def _log_choose(n: Tensor, k: Tensor) -> Tensor:
    return torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)


def _chance_probability(dst: Tensor, usable: Tensor, threshold: float) -> Tensor:
    """Return (B,), how likely a random destination point falls within ``threshold`` of another.

    The points' covariance gives the area that they spread over: ``12 sqrt(det)`` is exact for a
    uniform rectangle, and few stray points do not inflate it as they do a bounding box.

    Args:
        dst: (B, 2, N) points in pixels.
        usable: (B, N) bool, which points count.
        threshold: Radius in pixels.
    """
    counted = usable[:, None].to(dst.dtype)
    total = counted.sum(-1, keepdim=True).clamp_min(1)
    centred = (dst - (counted * dst).sum(-1, keepdim=True) / total) * counted
    determinant: Tensor = torch.linalg.det(centred @ centred.mT / total).clamp_min(0.0)
    area = 12.0 * determinant.sqrt()
    disc = math.pi * threshold**2
    return area.clamp_min(disc).reciprocal().mul(disc)


def _log_false_alarms(
    count: Tensor, support: Tensor, probability: Tensor, free: float = 4.0, sample: int = 4
) -> Tensor:
    """Return (...,) log10 of the number of false alarms of ``support`` among ``count`` pairs.

    The expected number of models with as many inliers among random pairs, over all the models that
    minimal samples of ``sample`` pairs can give (Moisan & Stival, A probabilistic criterion to
    detect rigid point matches between two images, IJCV 2004, equation 9). ``free`` pairs' worth of
    inliers come with the model for nothing.
    """
    n = count.to(torch.float32)
    k = support.to(torch.float32).minimum(n)
    models = (n - sample).clamp_min(1.0).log()
    models = models + _log_choose(n, k) + _log_choose(k.clamp_min(sample), torch.full_like(k, sample))
    accidents = (k - free) * probability.to(torch.float32).clamp_min(1e-30).log()
    result = (models + accidents) / math.log(10.0)
    return torch.where(k > free, result, torch.inf)


def _first_of_each(cells: Tensor, usable: Tensor, preferred: Tensor) -> Tensor:
    """Return (B, N) bool: one representative of the correspondences that share a cell.

    By hashing, in a fifth of the time of sorting. Who meets a stranger at his place in the table
    tries the second; who meets one there, too, which one in a thousand does, is left out.

    Args:
        cells: (B, 4, N) coordinates in units of the cell's side.
        usable: (B, N) bool, which correspondences take part.
        preferred: (B, N) bool, which to choose first as a representative.
    """
    number = usable.shape[1]
    bits = (4 * number).bit_length()
    # Cells beyond any image share one number; the products wrap around, as hashes do.
    whole = cells.clamp(-(2.0**30), 2.0**30).floor_().to(torch.int32)
    key = whole[:, 0] * _MULTIPLIER
    for axis in range(1, 4):
        key = key.add_(whole[:, axis]).mul_(_MULTIPLIER)
    rank = torch.arange(number, dtype=torch.int32, device=key.device) + number * preferred.int()
    chosen, waiting = torch.zeros_like(usable), usable
    for shift in (31 - bits, max(30 - 2 * bits, 0)):
        place = (key >> shift).bitwise_and_((1 << bits) - 1).long()
        table = rank.new_zeros(len(key), 1 << bits)
        asked = rank.masked_fill(~waiting, 0)
        found = table.scatter_reduce_(1, place, asked, "amax").gather(1, place)
        chosen = chosen | (waiting & (found == rank))
        waiting = waiting & (key.gather(1, (found % max(number, 1)).long()) != key)
    return chosen


def _off_line_counts(
    points: Tensor, members: Tensor, usable: Tensor, band: Tensor, draws: Tensor
) -> tuple[Tensor, Tensor]:
    """Return (B, 2) how many ``members`` and usable points lie off the members' best lines.

    In the source and in the destination. Lines through pairs of members are tried on other members;
    the best is measured on all points. Two coincident points count as a line that has no extent.

    Args:
        points: (B, 4, N) x, y, x', y'.
        members: (B, N) bool.
        usable: (B, N) bool, the points to count.
        band: (B, 2) distance up to which a point lies on a line, in either image.
        draws: (3, K) uniform random numbers in [0, 1): both points of the pairs, and members.
    """
    batch, _, number = points.shape
    if number == 0:
        nothing = members.sum(-1, keepdim=True).expand(-1, 2)
        return nothing, nothing
    rank = members.cumsum(-1)  # (B, N)
    position = (draws.flatten() * rank[:, -1:]).floor() + 1.0  # [B, 3 K], from 1 on
    index = torch.searchsorted(rank.to(position.dtype), position).clamp_(max=number - 1)
    drawn = points.gather(2, index[:, None].expand(-1, 4, -1)).view(batch, 2, 2, -1)
    first, second, others = drawn.chunk(3, dim=3)  # (B, 2, 2, K)
    along = second - first
    length = along.norm(dim=2, keepdim=True)
    along = along / torch.where(length > 0, length, 1.0)

    limit = band.square()[..., None]
    near = _square_distance(others[..., None, :], first[..., None], along[..., None])  # [B, 2, K, K]
    best = (near <= limit[..., None]).sum(-1).argmax(-1)[:, :, None, None].expand(-1, -1, 2, 1)
    square = _square_distance(points.view(batch, 2, 2, number), first.gather(3, best), along.gather(3, best))
    off = square > limit
    return (off & members[:, None]).sum(-1), (off & usable[:, None]).sum(-1)


def _square_distance(points: Tensor, anchor: Tensor, along: Tensor) -> Tensor:
    """Return squared distances from the line ``anchor + t along``, the point if ``along`` is 0.

    Args:
        points: (B, 2, 2, ...) in either image, as all of them.
        anchor: A point of the line.
        along: Its direction, of unit length.
    """
    x, y = (points - anchor).unbind(2)
    along_x, along_y = along.unbind(2)
    return x * x + y * y - (x * along_x + y * along_y).square()
