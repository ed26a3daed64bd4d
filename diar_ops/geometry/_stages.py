"""The stages of a joint adjustment: how far the robust cost reaches, and when it is minimised."""

from __future__ import annotations

import torch
from torch import Tensor

from diar_ops.geometry._bundle_pairs import Prepared, some_matches
from diar_ops.geometry._levenberg import State, cost_of, minimise
from diar_ops.geometry._noise import LEAST_NOISE, Noise, noise_of_pairs
from diar_ops.geometry._sampson import Pairs, robust_cost, squared_distances

__all__ = ["adjust", "starting_state"]

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
