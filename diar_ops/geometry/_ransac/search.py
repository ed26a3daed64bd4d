"""Hypothesise and verify: the rounds of sampling behind ``ransac_homography``.

Every item of a batch sees the same uniform random numbers, scaled by its own number of points, so
that its result depends neither on the other items nor on which of them are still being searched.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._checks import widest_dtype
from diar_ops.geometry._minimal import corner_areas, four_point_homography, orientation_margin
from diar_ops.geometry._ransac.refine import gauss_newton_step
from diar_ops.geometry._ransac.score import Correspondences, misfit, take

__all__ = ["Search", "search", "source_monomials"]

#: Hypotheses drawn per item up to the end of each round.
_ROUNDS = (192, 1024, 4096, 8192)
#: Numbers of samples, and of residuals, whose temporaries stay in a core's cache.
_SAMPLES_PER_CHUNK = 1 << 15
_RESIDUALS_PER_CHUNK = 1 << 18
#: Hypotheses are looked at with few points; the best of a round with more; the best of these are
#: scored on all points, and the best of all is optimised locally.
_FIRST_LOOK = 64
_SECOND_LOOK = 256
_LONGLIST = 128
_SHORTLIST = 8
_OPTIMISED = 1
#: Squared residual, in squared thresholds, from which the looks count a point as an outlier: a
#: minimal sample of noisy points misses many inliers by more than one threshold.
_LOOK_REACH = 4.0
#: Reach of the local optimisation, step by step, in thresholds.
_LOCAL_REACH = (3.0, 1.5)
#: Product of a triangle's areas in both images, in unit-spread coordinates, below which a sample
#: is as good as collinear.
_MIN_AREAS = 1e-8
#: Ordered sampling starts with this many of the best pairs and covers all after so many samples.
_POOL_START = 8
_POOL_GROWTH = 2000


class Search(NamedTuple):
    """What the search found, per item."""

    homography: Tensor  # (B, 9), unit norm, in normalised coordinates
    misfit: Tensor  # (B,) sum of squared residuals in thresholds, each at most 1
    support: Tensor  # (B,) int64, inliers; 0 where no sample was sound
    drawn: Tensor  # (B,) int64


def source_monomials(points: Tensor) -> Tensor:
    """Return (B, 6, N) x^2, xy, x, y^2, y, 1 of the source of ``points`` (B, 4, N)."""
    x, y = points[:, 0], points[:, 1]
    return torch.stack([x * x, x * y, x, y * y, y, torch.ones_like(x)], 1)


def search(
    points: Tensor,
    count: Tensor,
    threshold: Tensor,
    *,
    confidence: float,
    max_iterations: int,
    ordered: bool,
    generator: torch.Generator,
) -> Search:
    """Search homographies of the points' majority by rounds of growing size.

    Args:
        points: (B, 4, N) float32 x, y, x', y' of unit spread; those from ``count`` on out of reach.
        count: (B,) usable points; items with fewer than four are not searched.
        threshold: (B,) inlier threshold in these units.
        confidence: Probability of having drawn at least one sample of inliers when an item stops.
        max_iterations: Hypotheses per item at most.
        ordered: The points are sorted by falling quality: every other sample prefers the first.
        generator: Source of randomness.
    """
    size, device = points.shape[0], points.device
    best = Search(
        torch.eye(3, device=device).flatten().repeat(size, 1) / math.sqrt(3.0),
        torch.full((size,), torch.inf, device=device),
        torch.zeros(size, dtype=torch.int64, device=device),
        torch.zeros(size, dtype=torch.int64, device=device),
    )
    active = (count >= 4).nonzero().squeeze(-1)
    matches = Correspondences.pack(points[active], threshold[active])
    drawn = 0
    for end in _round_ends(max_iterations):
        if active.numel() == 0:
            break
        uniform = torch.rand(end - drawn, 4, generator=generator, device=generator.device)
        strata = torch.rand(_SECOND_LOOK, generator=generator, device=generator.device)
        pool = _pools(count[active], drawn, end) if ordered else None
        first, second = (
            matches.columns(_spaced(count[active], strata[:looks].to(device)))
            for looks in (_FIRST_LOOK, _SECOND_LOOK)
        )
        longlist = _longlist(matches, count[active], uniform.to(device), first, pool)
        shortlist = _shortlist(longlist, second)
        drawn = end
        found = _verify(matches, shortlist, best.homography[active], threshold[active])
        better = found.misfit < best.misfit[active]
        winners = active[better]
        best.homography[winners] = found.homography[better]
        best.misfit[winners] = found.misfit[better]
        best.support[winners] = found.support[better]
        best.drawn[active] = drawn
        needed = _samples_needed(best.support[active], count[active], confidence)
        unfinished = needed > (drawn // 2 if ordered else drawn)
        if not bool(unfinished.all()):
            keep = unfinished.nonzero().squeeze(-1)
            active, matches = active[keep], matches.items(keep)
    return best


def _round_ends(max_iterations: int) -> list[int]:
    ends = [end for end in _ROUNDS if end < max_iterations]
    ends += range(2 * _ROUNDS[-1], max_iterations, _ROUNDS[-1])
    return [*ends, max_iterations]


def _samples_needed(support: Tensor, count: Tensor, confidence: float) -> Tensor:
    """Return how many samples contain one of inliers only with probability ``confidence``.

    Samples are drawn with replacement, and those with a repeated point are never sound.
    """
    k, n = support.to(torch.float32), count.to(torch.float32)
    sound = (k * (k - 1) * (k - 2) * (k - 3) / n**4).clamp(1e-12, 1.0 - 1e-6)
    return math.log(1.0 - confidence) / torch.log1p(-sound)


def _pools(count: Tensor, start: int, end: int) -> Tensor:
    """Return (B, end - start), from how many of the first points each sample is drawn.

    Every other sample draws from all, which keeps the guarantee of plain sampling; the others
    grow their pool from the best few to all (after Chum & Matas, Matching with PROSAC, CVPR 2005).
    """
    number = torch.arange(start, end, device=count.device)
    growth = (number / _POOL_GROWTH).clamp(max=1.0)
    growth = torch.where(number % 2 == 0, 1.0, growth)
    n = count[:, None].to(torch.float32)
    first = n.clamp(max=_POOL_START)
    return first * (n / first) ** growth


def _spaced(count: Tensor, offset: Tensor) -> Tensor:
    """Return (B, S) indices of points, one at random from each of S equal parts of the first."""
    number = offset.shape[0]
    position = (torch.arange(number, device=offset.device) + offset) / number
    return (position * count[:, None]).long().minimum(count[:, None] - 1)


def _shortlist(hypotheses: Tensor, look: Correspondences) -> Tensor:
    """Return the (B, K, 9) best of many hypotheses, by a second look."""
    if hypotheses.shape[1] <= _SHORTLIST:
        return hypotheses
    loss = (
        misfit(hypotheses, look, guarded=False)
        .clamp_(max=_LOOK_REACH)
        .sum(-1)
        .nan_to_num(torch.inf)
    )
    return take(hypotheses, loss.topk(_SHORTLIST, dim=1, largest=False).indices)


def _longlist(
    matches: Correspondences,
    count: Tensor,
    uniform: Tensor,
    look: Correspondences,
    pool: Tensor | None,
) -> Tensor:
    """Return the (B, K, 9) best hypotheses of samples ``uniform`` (M, 4), by a first look.

    Args:
        matches: The correspondences.
        count: (B,) how many of them are usable.
        uniform: (M, 4) random numbers that choose the samples.
        look: The correspondences to look at.
        pool: Optional (B, M) how many points each sample is drawn from.
    """
    size = count.shape[0]
    n = count[:, None].to(torch.float32)
    last = (count - 1)[:, None]
    chosen = matches.points.new_zeros(size, 0, 9)
    losses = matches.points.new_zeros(size, 0)
    step = max(_SAMPLES_PER_CHUNK // size, 128)
    for start in range(0, uniform.shape[0], step):
        part = uniform[start : start + step].T.contiguous()  # (4, M)
        limit = n[:, None] if pool is None else pool[:, None, start : start + step]
        index = (part * limit).long().minimum(last[:, None])  # (B, 4, M)
        hypotheses, real = _sound_hypotheses(matches.points, index)
        width = max(_RESIDUALS_PER_CHUNK // (size * _FIRST_LOOK), 8)
        pieces = [
            misfit(piece, look, guarded=False).clamp_(max=_LOOK_REACH).sum(-1)
            for piece in torch.split(hypotheses, width, 1)
        ]
        loss = torch.cat(pieces, 1) if pieces else losses[:, :0]
        loss = loss.nan_to_num(torch.inf).masked_fill_(~real, torch.inf)
        hypotheses, losses = torch.cat([chosen, hypotheses], 1), torch.cat([losses, loss], 1)
        losses, top = losses.topk(min(_LONGLIST, losses.shape[1]), dim=1, largest=False)
        chosen = take(hypotheses, top)
    return chosen


def _sound_hypotheses(points: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Return homographies (B, P, 9) of the samples that keep their orientation, and (B, P) real.

    Most samples with outliers do not: they are dropped before anything is solved. P is the largest
    number of any item; the others are padded with hypotheses that are not ``real``.
    """
    size, _, number = index.shape
    sampled = points.gather(2, index.flatten(1)[:, None].expand(-1, 4, -1))
    areas = corner_areas(sampled.view(size, 2, 2, 4, number)).areas
    sound = orientation_margin(areas[:, 0], areas[:, 1]) > _MIN_AREAS  # (B, M)
    rank = sound.cumsum(-1)
    total = rank[:, -1:]
    width = int(total.max())
    column = torch.where(sound, rank - 1, width)
    numbers = torch.arange(number, device=index.device).expand(size, -1)
    kept = torch.zeros(size, width + 1, dtype=torch.int64, device=index.device)
    kept = kept.scatter_(1, column, numbers)[:, :width]
    sampled = sampled.view(size, 16, number).gather(2, kept[:, None].expand(-1, 16, -1))
    src, dst = (corner_areas(side) for side in sampled.view(size, 2, 2, 4, width).unbind(1))
    real = torch.arange(width, device=index.device) < total
    return four_point_homography(src, dst).mT.contiguous(), real


def _verify(matches: Correspondences, shortlist: Tensor, best: Tensor, threshold: Tensor) -> Search:
    """Score hypotheses on all points, optimise the best few, and return the best of all."""
    if shortlist.shape[1] == 0:
        shortlist = best[:, None]
    norm = shortlist.norm(dim=-1, keepdim=True)
    shortlist = torch.where(norm > 0, shortlist / norm, best[:, None]).nan_to_num(0.0, 0.0, 0.0)
    loss = _loss(shortlist, matches)
    top = loss.topk(min(_OPTIMISED, loss.shape[1]), dim=1, largest=False).indices
    optimised = take(shortlist, top)
    monomials = source_monomials(matches.points)
    wide = widest_dtype(best.device)
    for reach in _LOCAL_REACH:
        scale = (reach * threshold)[:, None, None]
        optimised, _ = gauss_newton_step(optimised, matches.points, monomials, scale, wide)
    candidates = torch.cat([shortlist, optimised], 1)
    loss = torch.cat([loss, _loss(optimised, matches)], 1)
    lowest = loss.min(1)
    winner = take(candidates, lowest.indices[:, None])
    support = (misfit(winner, matches, guarded=True) < 1).sum(-1).squeeze(1)
    return Search(winner.squeeze(1), lowest.values, support, support)


def _loss(h: Tensor, matches: Correspondences) -> Tensor:
    return misfit(h, matches, guarded=True).clamp_(max=1.0).sum(-1).nan_to_num(torch.inf)
