"""The proportion that explains a quadrilateral in several views best, and how sure that is."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from diar_ops._pixels import constant
from diar_ops.geometry._operator import define_operator
from diar_ops.geometry._rectify.quads import side_residuals

#: Where focal lengths lie that nobody knows, as log of the longest side: 17 to 75 mm on 36 mm in two of three.
UNKNOWN_FOCAL, UNKNOWN_FOCAL_SIGMA = -0.1, 0.6
#: Relative error of a focal length that is known: EXIF rounds it, focusing changes it.
KNOWN_FOCAL_SIGMA = 0.03
#: Error of a view's homography at the corners, in shares of the corners' own.
VIEW_SIGMA = 0.3
#: Log of any proportion; keeps the normal equations solvable.
_PROPORTION_SIGMA = 3.0
_FOCAL_GRID = (-1.6, 2.4, 33)
_STEPS = 10


class Proportion(NamedTuple):
    """What the sides of a quadrilateral tell.

    Attributes:
        log_proportion: (B,) log of width / height.
        sigma: (B,) its standard deviation.
        log_focal: (B,) of the image itself.
        sigma_alone: (B,) standard deviation without the other views.
        sigma_unknown: (B,) likewise, and without a known focal length.
    """

    log_proportion: Tensor
    sigma: Tensor
    log_focal: Tensor
    sigma_alone: Tensor
    sigma_unknown: Tensor


def solve_proportion(
    quads: Tensor, jitters: Tensor, usable: Tensor, log_focal: Tensor, known: Tensor, sigma: float, shared: bool
) -> Proportion:
    """Fit one proportion and the focal lengths to quadrilaterals of one rectangle.

    Gauss-Newton on the two residuals of each view. Their covariance has two parts: the error of the
    corners, which all views share as their homographies carry it along, and that of each
    homography.

    Args:
        quads: (B, N, 4, 2) the corners in the image itself and in its views, principal point at 0.
        jitters: (B, 16, N, 4, 2) the same with each coordinate of the image's corners moved, by
            plus and minus a small step.
        usable: (B, N) bool.
        log_focal: (B,) of the image, in the quads' unit; read where ``known``.
        known: (B,) bool.
        sigma: Standard deviation of the corners, in the quads' unit, over that small step.
        shared: Whether all views have one focal length.
    """
    arguments = (quads, jitters, usable, log_focal, known, sigma, shared)
    return Proportion(*(_operator(*arguments) if torch.compiler.is_compiling() else _solve_proportion(*arguments)))


def _solve_proportion(
    quads: Tensor, jitters: Tensor, usable: Tensor, log_focal: Tensor, known: Tensor, sigma: float, shared: bool
) -> Proportion:
    batch, count = quads.shape[:2]
    kept = usable[..., None].to(quads)
    like: dict[str, Any] = {"dtype": quads.dtype, "device": quads.device}
    eye, pair = torch.eye(count, **like), torch.eye(2, **like)
    spread = torch.ones_like(eye[:, :1]) if shared else eye  # from focal lengths to views
    # The image's own is known; those of the others where they share it.
    told = known[:, None] & (torch.arange(spread.shape[1], device=quads.device) == 0)
    centre = torch.where(told, log_focal[:, None], UNKNOWN_FOCAL)
    scatter = UNKNOWN_FOCAL_SIGMA + (KNOWN_FOCAL_SIGMA - UNKNOWN_FOCAL_SIGMA) * told.to(quads)
    prior = torch.cat((torch.full_like(scatter[:, :1], _PROPORTION_SIGMA), scatter), 1) ** -2

    def at(focal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return residuals (B, 2N), their slopes (B, 2N, 1 + F) and inverse covariance."""
        views = focal @ spread.mT
        residual, slope = side_residuals(quads, views)
        moved = side_residuals(jitters, views[:, None].expand(jitters.shape[:3]))[0]
        own = (moved[:, :8] - moved[:, 8:]) * (0.5 * sigma) * kept[:, None]  # [B, 8, N, 2]
        each = (own[..., :, None] * own[..., None, :]).sum(1)
        own = own.flatten(2)
        alone = pair * (1 - kept[..., None])
        blocks = VIEW_SIGMA**2 * each + alone  # [B, N, 2, 2]
        covariance = own.mT @ own + (blocks[:, :, None] * eye[:, :, None, None]).transpose(2, 3).reshape(
            batch, 2 * count, 2 * count
        )
        column = -pair[1].expand(batch, count, 2) * kept
        slopes = (slope * kept)[..., None] * spread[:, None]
        jacobian = torch.cat((column.flatten(1)[..., None], slopes.flatten(1, 2)), -1)
        weight = torch.linalg.inv_ex(covariance).inverse
        return (residual * kept).flatten(1), jacobian, weight

    focal = _start(quads, kept, spread, centre, scatter)
    proportion = torch.zeros_like(focal[:, :1])
    low, high = _FOCAL_GRID[0] - 1, _FOCAL_GRID[1] + 1
    for _ in range(_STEPS):
        residual, jacobian, weight = at(focal)
        residual = residual + jacobian[..., 0] * proportion
        pull = torch.cat((-proportion, centre - focal), 1) * prior
        step = _solve(jacobian, weight, prior, pull, residual)
        proportion = proportion + step[:, :1]
        # No lens is far beyond the grid; a solution that runs away breaks down.
        focal = (focal + step[:, 1:].clamp(-0.5, 0.5)).clamp(low, high)
    residual, jacobian, weight = at(focal)
    residual = residual + jacobian[..., 0] * proportion
    normal = jacobian.mT @ weight @ jacobian
    freedom = usable.sum(-1) * 2 - 1 - (1 if shared else usable.sum(-1))
    misfit = (residual[:, None] @ weight @ residual[..., None]).flatten() / freedom.clamp_min(1)
    sigma_all = _first_sigma(normal, prior) * misfit.clamp_min(1).sqrt()
    # What the image tells alone: its two residuals, with its own covariance.
    lone = jacobian[:, :2, :2]
    own_weight = torch.linalg.inv_ex(torch.linalg.inv_ex(weight).inverse[:, :2, :2]).inverse
    own_normal = lone.mT @ own_weight @ lone
    unknown = constant([_PROPORTION_SIGMA**-2, UNKNOWN_FOCAL_SIGMA**-2], **like)
    return Proportion(
        proportion[:, 0],
        sigma_all,
        focal[:, 0],
        _first_sigma(own_normal, prior[:, :2]),
        _first_sigma(own_normal, unknown.expand(batch, 2)),
    )


_operator = define_operator(
    "solve_proportion",
    "Tensor quads, Tensor jitters, Tensor usable, Tensor log_focal, Tensor known, float sigma, bool shared",
    len(Proportion._fields),
    _solve_proportion,
    lambda quads, *others: tuple(quads.new_empty(quads.shape[0]) for _ in Proportion._fields),
)


def _start(quads: Tensor, kept: Tensor, spread: Tensor, centre: Tensor, scatter: Tensor) -> Tensor:
    """Return focal lengths (B, F) from a grid: those that make the sides most perpendicular."""
    low, high, number = _FOCAL_GRID
    grid = torch.linspace(low, high, number, dtype=quads.dtype, device=quads.device)
    with torch.no_grad():
        cosine = side_residuals(quads[..., None, :, :], grid.expand(*quads.shape[:2], number))[0][..., 0]
        cost = (cosine / 0.02).square() * kept  # [B, N, G]
        cost = spread.mT @ cost + ((grid - centre[..., None]) / scatter[..., None]).square()
        return grid[cost.argmin(-1)]


def _solve(jacobian: Tensor, weight: Tensor, prior: Tensor, pull: Tensor, residual: Tensor) -> Tensor:
    weighted = jacobian.mT @ weight
    normal = weighted @ jacobian + torch.diag_embed(prior)
    right = pull - (weighted @ residual[..., None])[..., 0]
    step: Tensor = torch.linalg.solve_ex(normal, right[..., None]).result[..., 0]
    return step


def _first_sigma(normal: Tensor, prior: Tensor) -> Tensor:
    covariance: Tensor = torch.linalg.inv_ex(normal + torch.diag_embed(prior)).inverse
    return covariance[:, 0, 0].clamp_min(0).sqrt()
