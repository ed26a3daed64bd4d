"""The stages of a joint adjustment: how far the robust cost reaches, and when it is minimised."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diar_ops.geometry._bundle_pairs import Prepared, some_matches
from diar_ops.geometry._levenberg import State, cost_of, minimise
from diar_ops.geometry._sampson import Pairs, per_item, robust_cost, squared_distances

__all__ = ["adjust", "starting_state"]

#: Reach of the robust cost, in standard deviations of a coordinate.
_REACH = 6.0
#: Steps of the two stages before the last, and matches of a pair that they look at, at most.
_EARLY_STEPS = 4
_EARLY_MATCHES = 256
#: The share of a pair's matches that are taken for right when its noise is looked for: the
#: quantile of their distances, over that of the length of a normal vector in the plane.
_QUANTILE = 0.3
_NORMAL_QUANTILE = math.sqrt(-2 * math.log(1 - _QUANTILE))
#: Smallest noise, in pixels, and how far a pair's may lie from that of the middle pair.
_LEAST_NOISE = 0.01
_LESS_NOISE, _MORE_NOISE = 0.5, 4.0


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
    batch, least = len(free), _LEAST_NOISE if scale is None else scale
    few = some_matches(data.pairs, _EARLY_MATCHES)
    early = min(_EARLY_STEPS, max_iterations // 4)
    noise = _pair_noise(few, _squares(few, start)).clamp_min(least)
    state = minimise(few, start, free, _REACH * noise, early)
    # A pair that started badly may still lie badly.
    widest = noise / 4
    noise = _settled(_pair_noise(few, _squares(few, state)), batch, widest).clamp_min(least)
    state = minimise(few, state, free, _REACH * noise, early)
    if scale is None:
        found = _pair_noise(data.pairs, _squares(data.pairs, state))
        noise = _settled(found, batch).clamp_min(least)
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


def _pair_noise(pairs: Pairs, squares: Tensor) -> Tensor:
    """Return (Q,) the noise of every pair, in pixels, from its closest matches; inf without any."""
    if squares.shape[1] == 0:
        return squares.new_full((len(squares),), torch.inf)
    number = (pairs.weight > 0).sum(1)
    index = (_QUANTILE * number).to(torch.int64)
    return squares.sort(dim=1)[0].gather(1, index[:, None])[:, 0].sqrt() / _NORMAL_QUANTILE


def _settled(noise: Tensor, batch: int, widest: Tensor | None = None) -> Tensor:
    """Keep each pair's noise near that of its item's middle pair, or below ``widest``."""
    middle = _middle(noise, batch)
    most = _MORE_NOISE * middle
    most = most if widest is None else torch.maximum(most, widest)
    return torch.minimum(noise.maximum(_LESS_NOISE * middle), most)


def _middle(noise: Tensor, batch: int) -> Tensor:
    """Return (Q,) the lower median of the pairs that have noise, of each item."""
    if len(noise) == 0:
        return noise
    ordered = per_item(noise, batch).sort(dim=1)[0]
    number = ordered.isfinite().sum(1, keepdim=True)
    middle = ordered.gather(1, (number - 1).clamp_min(0) // 2)
    middle = torch.where(middle.isfinite(), middle, 1.0).clamp_min(_LEAST_NOISE)
    return middle.repeat_interleave(ordered.shape[1])
