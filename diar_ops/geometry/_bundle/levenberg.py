"""Levenberg-Marquardt over all frames of each item at once, on dense normal equations.

The normal matrix has 8 T + 1 rows: eight entries of each frame's normalised homography, and the
coefficient of distortion. Entries that are not free have the row and column of the identity.
Solving takes (8 T)^3 / 3 multiplications: 20 million for 50 frames, 170 million for 100.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops.geometry._bundle.pairs import Pairs, PairTerms, per_item
from diar_ops.geometry._bundle.sampson import pair_terms

#: Largest coefficient of distortion, either way.
_MAX_DISTORTION = 0.5
#: Prior of the coefficient: standard deviation 0.1. It decides only what the views leave open.
#: Near its minimum, half the robust cost is a twelfth of the exponent of the normal density.
DISTORTION_PRIOR = 1 / (12 * 0.1**2)
#: Damping relative to the diagonal: at first, per step, and where an item gives up.
_FIRST_DAMPING, _LESS, _MORE, _MOST_DAMPING = 1e-4, 0.1, 10.0, 1e10
#: Step, in normalised coordinates, that ends the search: 1e-5 px, nearly.
_TOLERANCE = 1e-7
#: Steps on a GPU between looks whether all items are finished.
_LOOK_EVERY = 8


class System(NamedTuple):
    """Half the cost of B items and its derivatives, n = 8 T + 1."""

    cost: Tensor  # (B,)
    gradient: Tensor  # (B, n)
    normal: Tensor  # (B, n, n)


class State(NamedTuple):
    """The estimate: all of it, in normalised coordinates."""

    homography: Tensor  # (B, T, 3, 3)
    distortion: Tensor  # (B,) coefficient of the lens
    iterations: Tensor  # (B,) int64

    def per_frame(self) -> tuple[Tensor, Tensor]:
        """Return homographies (F, 3, 3) and coefficients (F,) of the frames of all items."""
        count = self.homography.shape[1]
        return self.homography.flatten(0, 1), self.distortion.repeat_interleave(count)


def minimise(pairs: Pairs, start: State, free: Tensor, reach: Tensor, steps: int) -> State:
    """Return the state after at most ``steps`` steps, each accepted only if the cost falls.

    Args:
        pairs: The matches, Q = B P pairs.
        start: Where to start.
        free: (B, n) bool, which parameters move.
        reach: (Q,) in pixels; fixed, so that the cost is one function.
        steps: Steps at most, also those that are not accepted.
    """
    if steps == 0:
        return start
    state, batch = start, len(free)

    def linearise(state: State) -> System:
        terms = evaluate(pairs, state, reach)
        system = assemble(terms, pairs, state.distortion, free)
        curvature = mean_curvature(terms, batch, reach)[:, None, None]
        return system._replace(normal=system.normal * curvature)

    system = linearise(state)
    damping = torch.full_like(system.cost, _FIRST_DAMPING)
    done = torch.zeros_like(system.cost, dtype=torch.bool)
    on_cpu = done.device.type == "cpu"
    for number in range(1, steps + 1):
        step, solved = _solve(system, damping)
        h = _to_entries(state.homography) - step[:, :-1].reshape(batch, free.shape[1] // 8, 8)
        trial = State(_from_entries(h), state.distortion - step[:, -1], state.iterations + 1)
        new = linearise(trial)
        better = (new.cost < system.cost) & (trial.distortion.abs() <= _MAX_DISTORTION)
        better = better & new.normal.isfinite().flatten(1).all(-1) & ~done
        iterations = torch.where(done, state.iterations, trial.iterations)
        state = State(*(_pick(better, a, b) for a, b in zip(trial, state, strict=True)))
        state = state._replace(iterations=iterations)
        system = System(*(_pick(better, a, b) for a, b in zip(new, system, strict=True)))
        damping = (damping * torch.where(better, _LESS, _MORE)).clamp_min(1e-12)
        # A step this small is the end, whether rounding lets the cost fall or not.
        small = solved & (step.abs().amax(1) < _TOLERANCE)
        done = done | small | (damping > _MOST_DAMPING)
        # Steps of finished items change nothing; a GPU would wait for each look.
        if (on_cpu or number % _LOOK_EVERY == 0) and done.all():
            break
    return state


def _pick(condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(condition.view(-1, *[1] * (a.dim() - 1)), a, b)


def _to_entries(homography: Tensor) -> Tensor:
    """Return the eight entries (..., 8) of (..., 3, 3) with H[2, 2] = 1."""
    return homography.flatten(-2)[..., :8]


def _from_entries(entries: Tensor) -> Tensor:
    """Return (..., 3, 3) with H[2, 2] = 1."""
    last = torch.ones_like(entries[..., :1])
    return torch.cat((entries, last), -1).reshape(*entries.shape[:-1], 3, 3)


def evaluate(pairs: Pairs, state: State, reach: Tensor) -> PairTerms:
    """Return the terms of all pairs at a state."""
    return pair_terms(pairs, *state.per_frame(), reach)


def cost_of(cost: Tensor, distortion: Tensor) -> Tensor:
    """Return half the cost (B,) of every item from that (Q,) of its pairs and the prior."""
    return per_item(cost, len(distortion)).sum(1) + DISTORTION_PRIOR * distortion.square() / 2


def assemble(
    terms: PairTerms, pairs: Pairs, distortion: Tensor, free: Tensor, prior: float = DISTORTION_PRIOR
) -> System:
    """Add the terms (Q,) of all pairs up to the normal equations of the items."""
    batch, n = free.shape
    count = n // 8
    frames = batch * count
    zero = terms.cost.new_zeros(frames, 8)
    gradient = zero.index_add(0, pairs.first, terms.gradient[:, 0])
    gradient = gradient.index_add(0, pairs.second, terms.gradient[:, 1]).view(batch, n - 1)
    cross = zero.index_add(0, pairs.first, terms.lens_cross[:, 0])
    cross = cross.index_add(0, pairs.second, terms.lens_cross[:, 1]).view(batch, n - 1)
    blocks = zero.new_zeros(frames * count, 8, 8)
    first, second = pairs.first % count, pairs.second % count
    for row, column, block in (
        (pairs.first, first, terms.normal[:, 0]),
        (pairs.second, second, terms.normal[:, 1]),
        (pairs.first, second, terms.normal[:, 2]),
        (pairs.second, first, terms.normal[:, 2].mT),
    ):
        blocks = blocks.index_add(0, row * count + column, block)
    dense = blocks.view(batch, count, count, 8, 8).transpose(2, 3).reshape(batch, n - 1, n - 1)
    corner = per_item(terms.lens_normal, batch).sum(1) + prior
    top = torch.cat((dense, cross[:, :, None]), 2)
    normal = torch.cat((top, torch.cat((cross, corner[:, None]), 1)[:, None]), 1)
    slope = per_item(terms.lens_gradient, batch).sum(1) + prior * distortion
    gradient = torch.where(free, torch.cat((gradient, slope[:, None]), 1), 0.0)
    both = free[:, :, None] & free[:, None, :]
    normal = torch.where(both, normal, torch.diag_embed((~free).to(normal.dtype)))
    return System(cost_of(terms.cost, distortion), gradient, normal)


def mean_curvature(terms: PairTerms, batch: int, reach: Tensor) -> Tensor:
    """Return (B,) the curvature of the cost over that of the normal matrix, in (0, 1].

    The normal matrix takes the weights for constants; they fall along the residual. The mean of
    ``w + t dw/dt`` over that of w turns the step of Gauss and Newton into one of Fisher's scoring.
    """
    pull = per_item(terms.sums[:, :2] / reach.square()[:, None], batch).sum(1)
    total, curved = pull.unbind(1)
    positive = total > 0
    ratio = curved / torch.where(positive, total, 1.0)
    return torch.where(positive, ratio, 1.0).clamp(0.3, 1.0)


def jacobi_scaled(normal: Tensor) -> tuple[Tensor, Tensor]:
    """Return a positive matrix (B, n, n) with unit diagonal, and the roots (B, n) that scale it."""
    diagonal = normal.diagonal(dim1=-2, dim2=-1)
    # An entry that no match moves has nothing on its diagonal.
    tiny = torch.finfo(normal.dtype).tiny ** 0.5
    least = 1e-12 * diagonal.amax(1, keepdim=True).clamp_min(tiny)
    root = diagonal.clamp_min(least).rsqrt()
    return normal * root[:, :, None] * root[:, None, :], root


def _solve(system: System, damping: Tensor) -> tuple[Tensor, Tensor]:
    """Return the damped step (B, n), and where (B,) there is one."""
    scaled, root = jacobi_scaled(system.normal)
    scaled = scaled + torch.diag_embed(damping[:, None].expand_as(root))
    factor, error = torch.linalg.cholesky_ex(scaled)
    step = torch.cholesky_solve((system.gradient * root)[..., None], factor)[..., 0] * root
    sound = (error == 0) & step.isfinite().all(1)
    return torch.where(sound[:, None], step, 0.0), sound
