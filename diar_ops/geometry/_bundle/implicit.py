"""The gradient of a joint adjustment: the derivative of the minimum, not of the way to it.

At the minimum the gradient g of the cost by the parameters vanishes whatever the data are, so that
``d parameters = -A^-1 dg``, A the Hessian (the implicit function theorem). What the search decided
is held fixed: the reach of the cost, the matches within it, and the frames with success.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._checks import widest_dtype
from diar_ops.geometry._bundle.levenberg import assemble
from diar_ops.geometry._bundle.pairs import Pairs, PairTerms
from diar_ops.geometry._bundle.prepare import Problem, image_normalisers
from diar_ops.geometry._bundle.projection import LensNormalization
from diar_ops.geometry._bundle.sampson import distances_at_once, robust_cost

#: Parameters of a pair: eight entries of either homography, and the lens.
_LOCAL = 17


class Minimum(NamedTuple):
    """What an adjustment found: B items of T frames and P pairs."""

    homography: Tensor  # (B, T, 3, 3) in pixels
    distortion: Tensor  # (B,)
    success: Tensor  # (B, T) bool
    inliers: Tensor  # (B, P, N) bool
    reach: Tensor  # (B, P) in pixels
    mean_weight: Tensor  # (B,) of the matches


def attach_gradient(problem: Problem, minimum: Minimum, *, with_lens: bool) -> tuple[Tensor, Tensor]:
    """Return the homographies (B, T, 3, 3) and distortions (B,), differentiable by the problem.

    By the points and weights; of frames without success, by their initial homographies.
    """
    wide = widest_dtype(problem.frames.device)
    batch, count = problem.initial.shape[:2]
    centre, half_diagonal, normaliser = image_normalisers(problem.sizes.to(wide))
    is_reference = torch.arange(count, device=centre.device) == problem.reference[:, None]
    items = torch.arange(batch, device=centre.device)
    to_pixels = torch.linalg.inv_ex(normaliser)[0]
    found = minimum.homography.to(wide)
    matrix = normaliser[items, problem.reference][:, None] @ found @ to_pixels
    matrix = matrix / matrix[..., 2:, 2:]

    pairs = _pairs(problem, minimum, centre, half_diagonal, with_lens=with_lens)
    moving = minimum.success & ~is_reference
    lens_free = moving.any(1, keepdim=True) & with_lens
    free = torch.cat((moving.repeat_interleave(8, dim=1), lens_free), 1)
    step = _newton_step(pairs, matrix, minimum.distortion.to(wide), minimum.reach.flatten(), free)
    # The step is next to nothing, and only its derivative is wanted.
    step = step.detach() - step
    entries = matrix.flatten(-2)[..., :8] + step[:, :-1].reshape(batch, count, 8)
    moved = torch.cat((entries, torch.ones_like(entries[..., :1])), -1).reshape(batch, count, 3, 3)
    moved = to_pixels[items, problem.reference][:, None] @ moved @ normaliser
    moved = moved * (found[..., 2:, 2:] / moved[..., 2:, 2:])
    change = torch.where(moving[..., None, None], moved - moved.detach(), 0.0)
    given = torch.where((minimum.success | is_reference)[..., None, None], 0.0, problem.initial)
    change = change + (given - given.detach()).nan_to_num(0.0, 0.0, 0.0)
    return found + change, minimum.distortion.to(wide) + step[:, -1]


def _pairs(problem: Problem, minimum: Minimum, centre: Tensor, half_diagonal: Tensor, *, with_lens: bool) -> Pairs:
    """Return the matches that agree, in half diagonals from the centres of the photos."""
    batch, count = problem.initial.shape[:2]
    local = problem.frames.clamp(0, count - 1)
    offset = torch.arange(batch, device=local.device)[:, None, None] * count
    first, second = (local + offset).flatten(0, 1).unbind(1)
    centre, unit = centre.flatten(0, 1), 1 / half_diagonal.flatten()
    inliers = minimum.inliers.flatten(0, 1)
    weight = torch.ones_like(problem.points0[..., 0]) if problem.weights is None else problem.weights
    weight = torch.where(minimum.inliers, weight, 0).to(centre.dtype) / minimum.mean_weight[:, None, None]
    points = [
        torch.where(inliers[:, None], (p.flatten(0, 1).to(centre.dtype).mT - centre[i][..., None]), 0.0)
        * unit[i][:, None, None]
        for p, i in ((problem.points0, first), (problem.points1, second))
    ]
    lens = LensNormalization(torch.ones_like(unit), torch.zeros_like(centre)) if with_lens else None
    return Pairs(
        first=first,
        second=second,
        points0=points[0],
        points1=points[1],
        weight=weight.flatten(0, 1),
        scale=unit,
        lens=lens,
    )


def _newton_step(pairs: Pairs, matrix: Tensor, distortion: Tensor, reach: Tensor, free: Tensor) -> Tensor:
    """Return (B, 8 T + 1), the step to the minimum, differentiable by the matches alone."""
    count = matrix.shape[1]
    entries, lens = matrix.flatten(0, 1).flatten(-2)[:, :8], distortion.repeat_interleave(count)
    local = torch.cat((entries[pairs.first], entries[pairs.second], lens[pairs.first, None]), 1).detach()
    number = local.shape[0]
    index = torch.arange(number, device=local.device)
    both = torch.cat((pairs.first, pairs.second))
    two = pairs._replace(first=index, second=index + number, scale=pairs.scale[both])
    if pairs.lens is not None:
        two = two._replace(lens=LensNormalization(*(x[both] for x in pairs.lens)))
    constant = two._replace(points0=two.points0.detach(), points1=two.points1.detach(), weight=two.weight.detach())

    def gradient(local: Tensor, matches: Pairs) -> Tensor:
        def cost(local: Tensor) -> Tensor:
            entries = torch.cat((local[:, :8], local[:, 8:16]))
            whole = torch.cat((entries, torch.ones_like(entries[:, :1])), 1).reshape(-1, 3, 3)
            squares = distances_at_once(matches, whole, local[:, 16].repeat(2))
            return robust_cost(squares, matches.weight, reach).sum()

        slope: Tensor = torch.func.grad(cost)(local)
        return slope

    # Pairs do not depend on each other: one product for all of them gives a row of each Hessian.
    product = torch.func.vjp(lambda x: gradient(x, constant), local)[1]
    basis = torch.eye(_LOCAL, dtype=local.dtype, device=local.device)
    hessian = torch.stack([product(row.expand(number, _LOCAL))[0] for row in basis.unbind()], 1).detach()
    zero = torch.zeros_like(reach)
    slope = gradient(local, two)
    terms = PairTerms(
        cost=zero,
        gradient=torch.stack((slope[:, :8], slope[:, 8:16]), 1),
        normal=torch.stack((hessian[:, :8, :8], hessian[:, 8:16, 8:16], hessian[:, :8, 8:16]), 1),
        lens_gradient=slope[:, 16],
        lens_cross=torch.stack((hessian[:, :8, 16], hessian[:, 8:16, 16]), 1),
        lens_normal=hessian[:, 16, 16],
        sums=zero[:, None].expand(-1, 5),
    )
    system = assemble(terms, pairs, distortion.detach(), free)
    step = torch.linalg.solve_ex(system.normal.detach(), system.gradient[..., None])[0][..., 0]
    return torch.where(step.detach().isfinite(), step, 0.0)
