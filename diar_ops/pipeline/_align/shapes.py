"""What the bends of all photos have in common: one surface, seen from several places."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops._types import RefinedGrid
from diar_ops.geometry._refine_grid.prior import monomials
from diar_ops.geometry._spline import EXTRA

#: Displacements against the reference are those of so many shapes, each times a vector of its own
#: for every photo: from far away one is all (the surface's height times the parallax).
_SHAPES = 2
#: Photos of which the shapes are found: at least so many, and their pixels agree at least so much
#: as this share of what they do in the median.
_LEAST_PHOTOS, _LEAST_AGREEMENT = 3, 0.7
#: Rounds that find shapes, and that lay them through one photo's displacements.
_SHAPE_ROUNDS, _PHOTO_ROUNDS = 30, 8
#: Squared distance, in px^2, from which on a displacement's weight falls when shapes are laid
#: through those of a photo.
_NEAR = 0.25
_RIDGE = 1e-3


def common_shapes(found: RefinedGrid) -> Tensor | None:
    """Return the shapes (R, rows + 3, columns + 3) of which displacements are combinations.

    Quadratic polynomials, which make up most of any bend and all of a homography that fits a part
    of the picture only, and what the photos share beside them: a factorisation by alternating least
    squares in which each control point counts with the certainty of its cells, and each photo the
    less, the farther the shapes are from it.

    Args:
        found: The grids of all photos against the reference.

    Returns:
        The shapes; None if too few photos are bent.
    """
    agreement = found.agreement
    usable = found.success & (agreement >= _LEAST_AGREEMENT * agreement[found.success].nanmedian())
    if int(usable.sum()) < _LEAST_PHOTOS:
        return None
    grid = found.grid[usable].double()
    rows, certainty = grid.flatten(0, 1).flatten(1), _of_points(found)[usable].repeat_interleave(2, 0)
    own = _own(found)
    rest = rows - _factors(rows, certainty, own) @ own.mT
    rest = rest * certainty.sqrt()
    # A grid that is off by far must not make the first shape.
    length = rest.norm(dim=1, keepdim=True)
    rest = rest / length.maximum(length.median() / 4).clamp_min(1e-9)
    shapes = torch.linalg.svd(rest, full_matrices=False).Vh[:_SHAPES].mT / certainty.mean(0).sqrt()[:, None]
    for _ in range(_SHAPE_ROUNDS):
        basis = torch.cat((own, shapes), -1)
        factors = _factors(rows, certainty, basis)
        error = ((rows - factors @ basis.mT).square() * certainty).sum(1) / certainty.sum(1)
        weight = certainty / (1 + error / error.median().clamp_min(1e-4))[:, None]
        rest, share = rows - factors[:, : own.shape[1]] @ own.mT, factors[:, own.shape[1] :]
        shapes = _factors(rest.mT, weight.mT, share)
        shapes = shapes / shapes.square().mean(0).sqrt().clamp_min(1e-9)
    return torch.cat((shapes, own), -1).mT.reshape(-1, *grid.shape[-2:])


def predict_grids(found: RefinedGrid, shapes: Tensor) -> Tensor:
    """Return the grids (T, 2, rows + 3, columns + 3) that shapes say of those found.

    They go on where a photo's own grid was uncertain.
    """
    basis = shapes.flatten(1).mT
    rows, certainty = found.grid.double().flatten(2), _of_points(found)[:, None].square()
    weight = certainty.expand_as(rows)
    for _ in range(_PHOTO_ROUNDS):
        laid = (_factors(rows.flatten(0, 1), weight.flatten(0, 1), basis) @ basis.mT).reshape(rows.shape)
        error = (rows - laid).square().sum(1, keepdim=True)
        weight = (certainty / (1 + error / _NEAR)).expand_as(rows)
    return laid.reshape(found.grid.shape)


def _factors(rows: Tensor, weight: Tensor, basis: Tensor) -> Tensor:
    """Return (N, F), the weighted least-squares factors of rows (N, K) in a basis (K, F)."""
    normal = torch.einsum("nk,ki,kj->nij", weight, basis, basis)
    ridge = _RIDGE * torch.eye(basis.shape[1], dtype=basis.dtype)
    right = torch.einsum("nk,ki,nk->ni", weight, basis, rows)
    factors: Tensor = torch.linalg.solve(normal + ridge, right[..., None])[..., 0]
    return factors


def _own(found: RefinedGrid) -> Tensor:
    """Return (K, 6), what each photo's displacement may be beside the shapes."""
    rows, columns = found.grid.shape[-2:]
    return monomials((rows, columns), 2, found.grid.double())


def _of_points(found: RefinedGrid) -> Tensor:
    """Return the certainty of control points (T, K): the mean over the cells at their place."""
    padded = F.pad(found.certainty.double()[:, None], (2, 2, 2, 2), mode="replicate")
    rows, columns = (n + EXTRA for n in found.certainty.shape[-2:])
    return F.avg_pool2d(padded, 2, 1)[..., :rows, :columns].flatten(1).clamp_min(1e-4)
