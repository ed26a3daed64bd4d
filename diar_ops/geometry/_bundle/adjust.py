"""The rounds of a joint adjustment: each leaves out frames that the last one could not place."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._types import BundleAdjustment
from diar_ops.geometry._bundle.covariance import corner_sigma, estimate_uncertainty
from diar_ops.geometry._bundle.levenberg import State, cost_of, evaluate, minimise
from diar_ops.geometry._bundle.pairs import Pairs, per_item
from diar_ops.geometry._bundle.prepare import (
    MIN_INLIERS,
    Prepared,
    Problem,
    connected_to_reference,
    prepare,
    subsample_matches,
)
from diar_ops.geometry._bundle.sampson import robust_cost, squared_distances
from diar_ops.geometry._bundle.scale import MIN_SCALE, PairScales, estimate_scales
from diar_ops.geometry._matrix3 import determinant

#: Reach of the robust cost, in standard deviations of a coordinate.
_REACH = 6.0
#: Steps of the two stages before the last, and matches of a pair that they look at, at most.
_EARLY_STEPS = 4
_EARLY_MATCHES = 256
#: By how much the scale of a pair's residuals may exceed that of the item's pairs.
_MAX_SCALE_RATIO = 4.0
#: The largest scale at the start, as a share of half the photo's diagonal. Farther off, wrong
#: matches fill the reach unevenly, and pull towards the middle of the picture.
_MAX_INITIAL_SCALE = 0.07


class BundleOptions(NamedTuple):
    """The options of ``bundle_adjust_homographies``."""

    with_lens: bool
    scale: float | None
    correlated: bool
    max_iterations: int


class _Round(NamedTuple):
    result: BundleAdjustment
    failed: Tensor  # (B, T) bool, frames whose matches had a weight and shall have none
    weight: Tensor  # (B,) total of the matches
    mean_weight: Tensor  # (B,)
    reach: Tensor  # (B, P)


def adjust(problem: Problem, options: BundleOptions) -> tuple[BundleAdjustment, Tensor, Tensor]:
    """Adjust, and start again without the matches of frames without success until there are none.

    So the others are what they would be if these frames had not been matched at all.

    Returns:
        The adjustment, the last reach (B, P) of the cost in pixels, and the mean (B,) of the given
        weights.
    """
    result, failed, weight, mean_weight, reach = _adjust_round(problem, options)
    first_weight = weight
    count = problem.initial.shape[1]
    for _ in range(count):
        if not failed.any():
            break
        local = problem.frames.clamp(0, count - 1)
        excluded = torch.gather(failed, 1, local.flatten(1)).view(local.shape).any(-1)
        problem = problem._replace(valid=problem.valid & ~excluded[..., None])
        items = torch.arange(len(failed), device=failed.device)
        # A GPU would wait for their number; to the others the same happens once more.
        items = items[failed.any(1)] if items.device.type == "cpu" else items
        tensors = {name: x[items] for name, x in problem._asdict().items() if x is not None}
        new = _adjust_round(problem._replace(**tensors), options)
        iterations = result.iterations[items] * failed[items].any(1) + new.result.iterations
        updates = new.result._replace(iterations=iterations)
        result = BundleAdjustment(*(x.index_copy(0, items, y) for x, y in zip(result, updates, strict=True)))
        failed = torch.zeros_like(failed).index_copy(0, items, new.failed)
        weight, mean_weight, reach = (
            x.index_copy(0, items, y)
            for x, y in ((weight, new.weight), (mean_weight, new.mean_weight), (reach, new.reach))
        )
    # Matches that were left out agree with nothing.
    share = weight / torch.where(first_weight > 0, first_weight, 1.0)
    share = torch.where(first_weight > 0, share, 1.0)
    return result._replace(cost=1 - share * (1 - result.cost)), reach, mean_weight


def _adjust_round(problem: Problem, options: BundleOptions) -> _Round:
    """Adjust and judge all frames that matches connect to the reference."""
    data = prepare(problem, with_lens=options.with_lens)
    start, free = _initial_state(data)
    state, reach, squares = _minimise_in_stages(data, start, free, options.scale, options.max_iterations)
    result, failed = _judge(data, state, free, reach, squares, problem.initial, options.correlated)
    inliers = result.inliers.new_zeros(len(data.order), problem.points0.shape[-2])
    inliers = inliers.scatter(1, data.order, result.inliers).view(problem.valid.shape)
    result = result._replace(inliers=inliers)
    return _Round(result, failed, data.total, data.mean_weight, per_item(reach, len(failed)))


def _initial_state(data: Prepared) -> tuple[State, Tensor]:
    """Return the initial state, and which (B, n) of its parameters move."""
    moving = data.connected & ~data.is_reference
    free = moving.repeat_interleave(8, dim=1)
    lens_free = moving.any(1, keepdim=True) & (data.pairs.lens is not None)
    distortion = data.homography.new_zeros(len(moving))
    state = State(data.homography, distortion, torch.zeros_like(data.reference))
    return state, torch.cat((free, lens_free), 1)


def _minimise_in_stages(
    data: Prepared, start: State, free: Tensor, given_scale: float | None, max_iterations: int
) -> tuple[State, Tensor, Tensor]:
    """Return the state at the minimum, the reach (Q,) of its cost, and the distances (Q, N).

    Two short stages on few matches shrink the reach to the scale of the residuals.
    """
    batch, floor = len(free), MIN_SCALE if given_scale is None else given_scale
    half_diagonal = data.half_diagonal.flatten()[data.pairs.first]

    def scales(pairs: Pairs, state: State) -> PairScales:
        return estimate_scales(_squares(pairs, state), half_diagonal, batch)

    sample = subsample_matches(data.pairs, _EARLY_MATCHES)
    early = min(_EARLY_STEPS, max_iterations // 4)
    largest = _MAX_INITIAL_SCALE * half_diagonal
    scale = scales(sample, start).own.minimum(largest).clamp_min(floor)
    state = minimise(sample, start, free, _REACH * scale, early)
    # A pair that started badly may still be off.
    scale = _pooled_scale(scales(sample, state), scale / 4).clamp_min(floor)
    state = minimise(sample, state, free, _REACH * scale, early)
    if given_scale is None:
        scale = _pooled_scale(scales(data.pairs, state), torch.zeros_like(scale)).clamp_min(floor)
    else:
        scale = torch.full_like(scale, given_scale)
    reach = _REACH * scale
    state = minimise(data.pairs, state, free, reach, max_iterations - 2 * early)

    # The stages minimise different costs; by the last, the result must not be worse than the start.
    before, after = _squares(data.pairs, start), _squares(data.pairs, state)
    start_cost, cost = (
        cost_of(robust_cost(squares, data.pairs.weight, reach), at.distortion)
        for squares, at in ((before, start), (after, state))
    )
    better = cost < start_cost
    state = State(
        torch.where(better[:, None, None, None], state.homography, start.homography),
        torch.where(better, state.distortion, start.distortion),
        state.iterations,
    )
    pairs_per_item = len(reach) // max(batch, 1)
    better = better.repeat_interleave(pairs_per_item)[:, None]
    return state, reach, torch.where(better, after, before)


def _squares(pairs: Pairs, state: State) -> Tensor:
    """Return squared distances (Q, N); inf for matches that do not count."""
    return squared_distances(pairs, *state.per_frame())


def _pooled_scale(scales: PairScales, largest: Tensor) -> Tensor:
    """Return (Q,) the scale of each pair.

    Its own, if it is significant and near that of the item's pairs; else theirs, or its own up to
    ``largest``.
    """
    near = scales.significant & (scales.own <= _MAX_SCALE_RATIO * scales.typical)
    limited = scales.own.maximum(scales.typical).minimum(largest.maximum(scales.typical))
    return torch.where(near, scales.own, limited)


def _judge(
    data: Prepared, state: State, free: Tensor, reach: Tensor, squares: Tensor, initial: Tensor, correlated: bool
) -> tuple[BundleAdjustment, Tensor]:
    """Return the result in pixels, and the frames (B, T) to leave out.

    The inliers (Q, n) are in the order of ``data``.
    """
    batch, count = data.connected.shape
    terms = evaluate(data.pairs, state, reach)
    inliers = squares < reach.square()[:, None]
    known = estimate_uncertainty(data, state, terms, squares, free, reach, correlated=correlated)
    linked = per_item(inliers.sum(1) >= MIN_INLIERS, batch)
    reached = connected_to_reference(data.local, linked, data.reference, count)
    success = reached & known.determined & data.connected & data.sound
    # What contradicts the others makes all of them uncertain: it goes before them.
    unknown_alone = data.connected & (~reached | known.unknown_alone)
    failed = torch.where(unknown_alone.any(1, keepdim=True), unknown_alone, data.connected & ~success)
    unknown = torch.diag_embed(torch.full_like(known.covariance[..., 0], torch.inf))
    covariance = torch.where(success[..., None, None], known.covariance, unknown)
    total = per_item(data.pairs.weight, batch).sum((1, 2))
    cost = 2 * per_item(terms.cost, batch).sum(1) / torch.where(total > 0, total, 1.0)
    result = BundleAdjustment(
        homography=_in_pixels(data, state, initial, success),
        covariance=covariance,
        corner_sigma=corner_sigma(covariance),
        residual_scale=known.residual_scale,
        success=success,
        inliers=inliers,
        distortion=state.distortion,
        distortion_sigma=known.distortion_sigma,
        disagreement=known.disagreement,
        cost=cost,
        iterations=state.iterations,
    )
    return result, failed


def _in_pixels(data: Prepared, state: State, initial: Tensor, success: Tensor) -> Tensor:
    """Return (B, T, 3, 3) in pixels with H[2, 2] = 1; the initial ones without success."""
    items = torch.arange(len(success), device=success.device)
    denormalise = torch.linalg.inv_ex(data.normaliser[items, data.reference])[0][:, None]
    homography = denormalise @ state.homography @ data.normaliser
    corner = homography[..., 2:, 2:]
    norm = homography.flatten(-2).norm(dim=-1)[..., None, None]
    homography = homography / torch.where(corner.abs() > 1e-9, corner, norm)

    initial = initial.to(homography.dtype)
    regular = initial.isfinite().flatten(-2).all(-1) & determinant(initial)[1]
    identity = torch.eye(3, dtype=homography.dtype, device=homography.device)
    initial = torch.where(regular[..., None, None], initial, identity)
    homography = torch.where(success[..., None, None], homography, initial)
    return torch.where(data.is_reference[..., None, None], identity, homography)
