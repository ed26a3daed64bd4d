"""The rounds of a joint adjustment: each leaves out frames that the last one could not place."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._checks import read_number, widest_dtype
from diar_ops._types import BundleAdjustment
from diar_ops.geometry._bundle.covariance import certainty, corner_sigma
from diar_ops.geometry._bundle.levenberg import State, cost_of, evaluate, minimise
from diar_ops.geometry._bundle.prepare import (
    MIN_SUPPORT,
    Prepared,
    prepare,
    some_matches,
    tied_to_reference,
)
from diar_ops.geometry._bundle.sampson import Pairs, per_item, robust_cost, squared_distances
from diar_ops.geometry._bundle.scale import LEAST_NOISE, Noise, noise_of_pairs
from diar_ops.geometry._matrix3 import determinant

__all__ = ["Problem", "Settings", "adjust", "solve", "starting_state"]

#: Rounds after the first where nothing can be read that says when to stop.
_TRACED_ROUNDS = 1


class Problem(NamedTuple):
    """The arguments of ``bundle_adjust_homographies`` for B items."""

    frames: Tensor  # (B, P, 2)
    points0: Tensor  # (B, P, N, 2)
    points1: Tensor  # (B, P, N, 2)
    initial: Tensor  # (B, T, 3, 3)
    sizes: Tensor  # (B, T, 2)
    valid: Tensor  # (B, P, N)
    weights: Tensor | None  # (B, P, N)
    reference: Tensor  # (B,)


class Settings(NamedTuple):
    """The options of ``bundle_adjust_homographies``."""

    with_lens: bool
    scale: float | None
    correlated: bool
    max_iterations: int


class _Round(NamedTuple):
    found: BundleAdjustment
    lost: Tensor  # (B, T) bool, frames that had a say and shall have none
    total: Tensor  # (B,) weight of the matches that had a say


def solve(problem: Problem, settings: Settings) -> BundleAdjustment:
    """Adjust, and start again without the matches of frames without success until there are none.

    So the others are what they would be if these frames had not been matched at all.
    """
    found, lost, total = _adjust_once(problem, settings)
    at_first = total
    for number in range(problem.initial.shape[1]):
        some = read_number(lost.any())
        if some == 0 or (some is None and number == _TRACED_ROUNDS):
            break
        local = problem.frames.clamp(0, problem.initial.shape[1] - 1)
        out = torch.gather(lost, 1, local.flatten(1)).view(local.shape).any(-1)
        problem = problem._replace(valid=problem.valid & ~out[..., None])
        every = torch.arange(len(lost), device=lost.device)
        again = every if some is None else every[lost.any(1)]
        given = {name: x for name, x in problem._asdict().items() if x is not None}
        part = problem._replace(**{name: x[again] for name, x in given.items()})
        new = _adjust_once(part, settings)
        tried = found.iterations[again] * lost[again].any(1) + new.found.iterations
        found = BundleAdjustment(
            *(
                x.index_copy(0, again, y)
                for x, y in zip(found, new.found._replace(iterations=tried), strict=True)
            )
        )
        lost = torch.zeros_like(lost).index_copy(0, again, new.lost)
        total = total.index_copy(0, again, new.total)
    # Matches that were left out agree with nothing.
    share = torch.where(at_first > 0, total / torch.where(at_first > 0, at_first, 1.0), 1.0)
    return found._replace(cost=1 - share * (1 - found.cost))


def _adjust_once(problem: Problem, settings: Settings) -> _Round:
    """Adjust and judge all frames that matches tie to the reference."""
    wide = widest_dtype(problem.frames.device)
    data = prepare(*problem, with_lens=settings.with_lens, wide=wide)
    start, free = starting_state(data, problem.reference)
    state, reach, squares = adjust(data, start, free, settings.scale, settings.max_iterations)
    found, lost = _judge(data, state, free, reach, squares, problem, settings.correlated)
    inliers = found.inliers.new_zeros(len(data.order), problem.points0.shape[-2])
    inliers = inliers.scatter(1, data.order, found.inliers).view(problem.valid.shape)
    return _Round(found._replace(inliers=inliers), lost, data.total)


def _judge(
    data: Prepared,
    state: State,
    free: Tensor,
    reach: Tensor,
    squares: Tensor,
    problem: Problem,
    correlated: bool,
) -> tuple[BundleAdjustment, Tensor]:
    """Return the result in pixels, and the frames (B, T) to leave out.

    The inliers (Q, n) are in the order of ``data``.
    """
    batch, count = data.connected.shape
    pairs, reference = data.pairs, problem.reference
    terms = evaluate(pairs, state, reach)
    inliers = squares < reach.square()[:, None]
    known = certainty(data, state, terms, squares, free, reach, reference, correlated=correlated)
    tied = per_item(inliers.sum(1) >= MIN_SUPPORT, batch)
    reached = tied_to_reference(data.local, tied, reference, count)
    success = reached & known.determined & data.connected & data.sound
    # What contradicts the others makes all of them uncertain: it goes before them.
    alone = data.connected & (~reached | known.unknown_alone)
    lost = torch.where(alone.any(1, keepdim=True), alone, data.connected & ~success)

    chosen = torch.arange(batch, device=reference.device)
    from_normal = torch.linalg.inv_ex(data.normaliser[chosen, reference])[0][:, None]
    homography = from_normal @ state.homography @ data.normaliser
    homography = homography / homography[..., 2:, 2:].where(
        homography[..., 2:, 2:].abs() > 1e-9, homography.flatten(-2).norm(dim=-1)[..., None, None]
    )
    homography = torch.where(
        success[..., None, None], homography, _kept(problem.initial, homography)
    )
    identity = torch.eye(3, dtype=homography.dtype, device=homography.device)
    is_reference = torch.arange(count, device=reference.device) == reference[:, None]
    homography = torch.where(is_reference[..., None, None], identity, homography)

    unknown = torch.diag_embed(torch.full_like(known.covariance[..., 0], torch.inf))
    covariance = torch.where(success[..., None, None], known.covariance, unknown)
    total = per_item(pairs.weight, batch).sum((1, 2))
    cost = 2 * per_item(terms.cost, batch).sum(1) / torch.where(total > 0, total, 1.0)
    found = BundleAdjustment(
        homography,
        covariance,
        corner_sigma(covariance),
        known.residual_scale,
        success,
        inliers,
        state.lens,
        known.lens_sigma,
        known.disagreement,
        cost,
        state.iterations,
    )
    return found, lost


def _kept(initial: Tensor, like: Tensor) -> Tensor:
    """Return the initial homographies as they came; the identity where one is none."""
    initial = initial.to(like)
    regular = initial.isfinite().flatten(-2).all(-1) & determinant(initial)[1]
    identity = torch.eye(3, dtype=like.dtype, device=like.device)
    return torch.where(regular[..., None, None], initial, identity)


#: Reach of the robust cost, in standard deviations of a coordinate.
_REACH = 6.0


#: Steps of the two stages before the last, and matches of a pair that they look at, at most.
_EARLY_STEPS = 4


_EARLY_MATCHES = 256


#: By how much the noise of a pair may exceed that of the item's pairs.
_MORE_NOISE = 4.0


#: The most noise at the start, as a share of half the photo's diagonal. Farther off, wrong matches
#: fill the reach unevenly, and pull towards the middle of the picture.
_MOST_NOISE = 0.07


def starting_state(data: Prepared, reference: Tensor) -> tuple[State, Tensor]:
    """Return the initial state, and which (B, n) of its parameters move."""
    batch, count = data.connected.shape
    is_reference = torch.arange(count, device=reference.device) == reference[:, None]
    moving = data.connected & ~is_reference
    free = moving.repeat_interleave(8, dim=1)
    lens = moving.any(1, keepdim=True) & (data.pairs.lens is not None)
    zero = data.homography.new_zeros(batch)
    state = State(data.homography, zero, torch.zeros_like(reference))
    return state, torch.cat((free, lens), 1)


def adjust(
    data: Prepared, start: State, free: Tensor, scale: float | None, max_iterations: int
) -> tuple[State, Tensor, Tensor]:
    """Return the state at the minimum, the reach (Q,) of its cost, and the distances (Q, N)."""
    batch, least = len(free), LEAST_NOISE if scale is None else scale
    half_diagonal = data.half_diagonal.flatten()[data.pairs.first]

    def noise_at(pairs: Pairs, at: State) -> Noise:
        return noise_of_pairs(_squares(pairs, at), half_diagonal, batch)

    few = some_matches(data.pairs, _EARLY_MATCHES)
    early = min(_EARLY_STEPS, max_iterations // 4)
    noise = noise_at(few, start).own.minimum(_MOST_NOISE * half_diagonal).clamp_min(least)
    state = minimise(few, start, free, _REACH * noise, early)
    # A pair that started badly may still lie badly.
    noise = _settled(noise_at(few, state), noise / 4).clamp_min(least)
    state = minimise(few, state, free, _REACH * noise, early)
    if scale is None:
        found = noise_at(data.pairs, state)
        noise = _settled(found, torch.zeros_like(found.own)).clamp_min(least)
    else:
        noise = torch.full_like(noise, scale)
    reach = _REACH * noise
    state = minimise(data.pairs, state, free, reach, max_iterations - 2 * early)

    # The stages minimise different costs; by the last, the result must not be worse than the start.
    before, after = _squares(data.pairs, start), _squares(data.pairs, state)
    costs = [
        cost_of(robust_cost(squares, data.pairs.weight, reach), at.lens)
        for squares, at in ((before, start), (after, state))
    ]
    better = costs[1] < costs[0]
    homography = torch.where(better[:, None, None, None], state.homography, start.homography)
    state = State(homography, torch.where(better, state.lens, start.lens), state.iterations)
    each = len(reach) // max(batch, 1)
    return state, reach, torch.where(better.repeat_interleave(each)[:, None], after, before)


def _squares(pairs: Pairs, state: State) -> Tensor:
    """Return squared distances (Q, N); inf for matches without a say."""
    lens = state.lens.repeat_interleave(state.homography.shape[1])
    return squared_distances(pairs, state.homography.flatten(0, 1), lens)


def _settled(noise: Noise, widest: Tensor) -> Tensor:
    """Return (Q,) the noise of each pair.

    That of its own crowd, if it is near that of the item's pairs; else theirs, or its own up to
    ``widest``.
    """
    near = noise.stands_out & (noise.own <= _MORE_NOISE * noise.middle)
    return torch.where(
        near,
        noise.own,
        torch.minimum(noise.own.maximum(noise.middle), widest.maximum(noise.middle)),
    )
