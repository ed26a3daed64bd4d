"""The loop of RANSAC: generate, score, refine, until the stopping rule is met.

Every item of a batch sees the same uniform random numbers, scaled by its own number of points, so
that its result depends neither on the other items nor on which of them are still being searched.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops.geometry._ransac.generate import generate, pool_sizes
from diar_ops.geometry._ransac.guide import OFFSETS, guide_by_neighbours
from diar_ops.geometry._ransac.refine import refine_locally
from diar_ops.geometry._ransac.score import (
    PackedMatches,
    msac_cost,
    preliminary_cost,
    preselect,
    squared_residuals,
    stratified_index,
    take_best,
)
from diar_ops.geometry._ransac.stopping import hypotheses_needed, round_ends, samples_needed

#: Hypotheses are scored on few points; the best of a round on more; the best of these on all
#: points, and the best of all is optimised locally.
_FIRST_LOOK, _SECOND_LOOK = 64, 256
_LONGLIST, _SHORTLIST, _OPTIMISED = 32, 4, 1


#: Once one round has not sufficed every other sample is guided by neighbours, and every fourth where
#: scores are given, too, or after so many samples: most of them keep the guarantee of plain sampling.
_GUIDED, _GUIDED_LATER, _LATER = 2, 4, 8192
#: Of guided samples one in so many counts: points that all lie in one spot, as neighbours do, give a
#: homography that few others agree with, wrong or not.
_COUNTED = 8


class SearchResult(NamedTuple):
    """The best homography of each item."""

    homography: Tensor  # (B, 9), unit norm, in normalised coordinates
    cost: Tensor  # (B,) sum of squared residuals in thresholds, each at most 1
    drawn: Tensor  # (B,) int64


def search(
    points: Tensor,
    count: Tensor,
    threshold: Tensor,
    *,
    confidence: float,
    max_iterations: int,
    ordered: bool,
    is_success: Callable[[Tensor, Tensor], Tensor],
    generator: torch.Generator,
) -> SearchResult:
    """Search homographies of the points' majority by rounds of growing size.

    Args:
        points: (B, 4, N) float32 x, y, x', y' of unit spread; those from ``count`` on out of reach.
        count: (B,) usable points; items with fewer than four are not searched.
        threshold: (B,) inlier threshold in these units.
        confidence: Probability of having drawn at least one sample of inliers when an item stops.
        max_iterations: Hypotheses per item at most.
        ordered: The points are sorted by falling quality: every other sample prefers the first.
        is_success: Says (A,) whether inliers (A, N) of the items (A,) are more than chance.
        generator: Source of randomness.
    """
    best = _no_result(points.shape[0], points.device)
    if points.shape[2] < 4:
        return best

    def draw(*shape: int) -> Tensor:
        numbers = torch.rand(*shape, generator=generator, dtype=torch.float32, device=generator.device)
        return numbers.to(points.device)

    # A CPU goes on with the unfinished items alone. A GPU goes on with all and keeps the results of
    # the finished ones: it waits once a round, for whether one is left.
    on_cpu = points.device.type == "cpu"
    running = count >= 4
    active = running.nonzero().squeeze(-1) if on_cpu else torch.arange(len(count), device=count.device)
    running, matches = running[active], PackedMatches.pack(points[active], threshold[active])
    offsets = draw(*OFFSETS)
    guide, every, drawn, guided = None, 1, 0, 0
    for end in round_ends(max_iterations):
        if active.numel() == 0:
            break
        usable = count[active].clamp_min(1)
        # Generate.
        if drawn:
            every = _GUIDED_LATER if ordered or drawn >= _LATER else _GUIDED
            guide = guide_by_neighbours(matches.points, usable, offsets) if guide is None else guide
            guided += (end - drawn) // every
        pool = pool_sizes(usable, drawn, end) if ordered else None
        hypotheses = generate(matches.points, usable, draw(end - drawn, 4), pool, guide, every)
        drawn = end
        # Score.
        candidates = _shortlist(hypotheses, matches, threshold[active], usable, draw(_SECOND_LOOK))
        candidates = _unit_norm(candidates, best.homography[active])
        cost = msac_cost(candidates, matches)
        # Refine.
        winners, _ = take_best(candidates, cost, _OPTIMISED)
        refined = refine_locally(winners, matches.points, threshold[active])
        candidates = torch.cat([candidates, refined], 1)
        cost = torch.cat([cost, msac_cost(refined, matches)], 1)
        _keep_better(best, active, running, candidates, cost)
        best.drawn.index_copy_(0, active, torch.where(running, drawn, best.drawn[active]))
        # Stop.
        inliers = squared_residuals(best.homography[active, None], matches, guarded=True).squeeze(1) < 1
        plain = drawn // 2 if ordered else drawn - guided
        enough = hypotheses_needed(inliers.sum(-1), usable, confidence) <= plain
        if guide is not None:
            share = (inliers * guide.share).sum(-1)
            found = running & ~enough & (samples_needed(share**4, confidence) <= guided // _COUNTED)
            asked = found.nonzero().squeeze(-1) if on_cpu else torch.arange(len(found), device=found.device)
            if asked.numel():
                believed = found[asked] & is_success(inliers[asked], active[asked])
                enough = enough.index_copy(0, asked, enough[asked] | believed)
        running = running & ~enough
        if not bool(running.all() if on_cpu else running.any()):
            remaining = running.nonzero().squeeze(-1) if on_cpu else active[:0]
            active, running, matches = active[remaining], running[remaining], matches.items(remaining)
            guide = None if guide is None else guide.items(remaining)
    return best


def _no_result(batch: int, device: torch.device) -> SearchResult:
    """Return the identity with infinite cost for every item."""
    return SearchResult(
        homography=torch.eye(3, dtype=torch.float32, device=device).flatten().repeat(batch, 1) / math.sqrt(3.0),
        cost=torch.full((batch,), torch.inf, dtype=torch.float32, device=device),
        drawn=torch.zeros(batch, dtype=torch.int64, device=device),
    )


def _shortlist(
    hypotheses: Iterable[tuple[Tensor, Tensor]],
    matches: PackedMatches,
    threshold: Tensor,
    count: Tensor,
    strata: Tensor,
) -> Tensor:
    """Return the (B, K, 9) best of many hypotheses, by a look at few points, then at more."""
    index = stratified_index(count, strata)
    second = PackedMatches.pack(matches.points.gather(2, index[:, None].expand(-1, 4, -1)), threshold)
    first = second.every(_SECOND_LOOK // _FIRST_LOOK)
    longlist = preselect(hypotheses, first, _LONGLIST)
    if longlist.shape[1] <= _SHORTLIST:
        return longlist
    return take_best(longlist, preliminary_cost(longlist, second), _SHORTLIST)[0]


def _unit_norm(hypotheses: Tensor, fallback: Tensor) -> Tensor:
    """Return hypotheses (B, K, 9) of unit norm; ``fallback`` (B, 9) where there is none."""
    if hypotheses.shape[1] == 0:
        hypotheses = fallback[:, None]
    norm = hypotheses.norm(dim=-1, keepdim=True)
    return torch.where(norm > 0, hypotheses / norm, fallback[:, None]).nan_to_num(0.0, 0.0, 0.0)


def _keep_better(best: SearchResult, active: Tensor, running: Tensor, candidates: Tensor, cost: Tensor) -> None:
    """Put the cheapest candidate (B, K, 9) of each running item into ``best`` if it beats it."""
    lowest = cost.min(1)
    winner = candidates.gather(1, lowest.indices[:, None, None].expand(-1, 1, 9)).squeeze(1)
    better = running & (lowest.values < best.cost[active])
    best.homography.index_copy_(0, active, torch.where(better[:, None], winner, best.homography[active]))
    best.cost.index_copy_(0, active, torch.where(better, lowest.values, best.cost[active]))
