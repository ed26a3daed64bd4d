"""The uncertainty of a joint adjustment: covariance of every frame's projected corners."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._pixels import constant
from diar_ops.geometry._bundle.levenberg import (
    DISTORTION_PRIOR,
    State,
    assemble,
    evaluate,
    jacobi_scaled,
    mean_curvature,
)
from diar_ops.geometry._bundle.pairs import PairTerms, per_item
from diar_ops.geometry._bundle.prepare import Prepared
from diar_ops.geometry._bundle.projection import MIN_DEPTH
from diar_ops.geometry._bundle.sampson import sampson_corrected

#: Matches that agree, from which on a pair counts for the disagreement.
_MIN_INLIERS = 16
#: Standard deviations of a coordinate that the points of a frame must spread across a line.
_MIN_SPREAD = 3.0
#: Share of half the reference's diagonal above which a corner counts as undetermined.
_MAX_SIGMA = 0.05
#: Area of the ring around what is within reach that tells how many wrong matches lie in there.
_RING_AREA = 2


class Uncertainty(NamedTuple):
    """The uncertainty of B items of T frames."""

    covariance: Tensor  # (B, T, 8, 8) px^2, of x and y of four corners
    distortion_sigma: Tensor  # (B,)
    residual_scale: Tensor  # (B, T) px
    disagreement: Tensor  # (B,)
    determined: Tensor  # (B, T) bool
    unknown_alone: Tensor  # (B, T) bool, not even determined if the pairs agreed


def estimate_uncertainty(
    data: Prepared, state: State, terms: PairTerms, squares: Tensor, free: Tensor, reach: Tensor, *, correlated: bool
) -> Uncertainty:
    """Estimate the uncertainty at a minimum.

    The covariance is ``A^-1 B A^-1``: A the normal matrix times the mean curvature of the robust
    cost, B the scatter of the gradient, whose share of each pair is its normal matrix times the
    variance that its own matches show (Huber, Robust statistics, chapter 7). Both are free of the
    gross errors, which have no weight.
    """
    batch, count = state.homography.shape[:2]
    pairs = data.pairs
    curvature = mean_curvature(terms, batch, reach)
    sums = terms.sums
    variance = 1.5 * sums[:, 3] / torch.where(sums[:, 0] > 0, sums[:, 0], 1.0)  # of the gradient
    observed = 2 * per_item(sums[:, 4], batch).sum(1)
    spare = observed - free.sum(1)
    inflation = torch.where(spare > 0, observed / spare.clamp_min(1), torch.inf)
    disagreement = _disagreement(terms, variance, spare, observed, batch)
    ideal = sampson_corrected(pairs, *state.per_frame(), reach)
    ideal_terms = evaluate(ideal, state, reach)
    scatter = ideal_terms._replace(
        normal=ideal_terms.normal * variance[:, None, None, None],
        lens_cross=ideal_terms.lens_cross * variance[:, None, None],
        lens_normal=ideal_terms.lens_normal * variance,
    )
    factor = inflation / curvature.square()
    if correlated:
        factor = factor * disagreement

    def covariance(moving: Tensor) -> Tensor:
        bread = _inverse(assemble(ideal_terms, pairs, state.distortion, moving).normal)
        meat = assemble(scatter, pairs, state.distortion, moving, DISTORTION_PRIOR / 12).normal
        both = moving[:, :, None] & moving[:, None, :]
        inner = torch.where(both, bread @ meat @ bread, 0.0)
        return torch.where(both, inner * factor[:, None, None], 0.0)

    whole = covariance(free)
    jacobian, ahead = _corner_jacobian(data, state)
    corners = _propagate(whole, jacobian)
    fixed_lens = corners
    if pairs.lens is not None:
        without = torch.cat((free[:, :-1], torch.zeros_like(free[:, -1:])), 1)
        fixed_lens = _propagate(covariance(without), jacobian)
    items = torch.arange(batch, device=reach.device)
    size = data.half_diagonal[items, data.reference]
    sigma = corner_sigma(fixed_lens).amax(-1)
    scale = _frame_scales(data, terms, squares, reach, inflation, (batch, count))
    spread = _narrow_spread(data, squares < reach.square()[:, None], (batch, count))
    spread_out = ahead & (spread > _MIN_SPREAD * scale)
    max_sigma = _MAX_SIGMA * size[:, None]
    agreeing = sigma / disagreement.sqrt()[:, None] if correlated else sigma
    determined = (spread_out & (sigma <= max_sigma)) | data.is_reference
    unknown_alone = ~((spread_out & (agreeing <= max_sigma)) | data.is_reference)
    return Uncertainty(
        covariance=corners,
        distortion_sigma=whole[:, -1, -1].clamp_min(0).sqrt(),
        residual_scale=scale,
        disagreement=disagreement,
        determined=determined,
        unknown_alone=unknown_alone,
    )


def corner_sigma(covariance: Tensor) -> Tensor:
    """Return (..., 4), the root of the mean squared motion of each corner, from (..., 8, 8)."""
    variance = covariance.diagonal(dim1=-2, dim2=-1)
    square = variance[..., ::2] + variance[..., 1::2]
    return square.nan_to_num(torch.inf, torch.inf).clamp_min(0).sqrt()


def _inverse(normal: Tensor) -> Tensor:
    """Return the inverse (B, n, n); directions that nothing fixes get a huge variance."""
    scaled, root = jacobi_scaled(normal)
    identity = torch.eye(normal.shape[-1], dtype=normal.dtype, device=normal.device)
    factor, error = torch.linalg.cholesky_ex(scaled + 1e-13 * identity)
    inverse = torch.cholesky_inverse(factor) * root[:, :, None] * root[:, None, :]
    return torch.where((error == 0)[:, None, None], inverse, torch.inf * identity)


def _disagreement(terms: PairTerms, variance: Tensor, spare: Tensor, observed: Tensor, batch: int) -> Tensor:
    """Return (B,), at least 1: the scatter of the pairs' gradients over what their matches explain.

    At the minimum the gradients of all pairs sum to 0. If matches err independently, that of a pair
    has the covariance V = variance times its normal matrix, and the sum of ``g^T V^-1 g`` over the
    pairs is chi-square distributed. Where neighbouring matches err alike, it is larger.
    """
    counts = terms.sums[:, 4] >= _MIN_INLIERS
    normal, root = jacobi_scaled(terms.normal[:, 0])
    identity = torch.eye(8, dtype=normal.dtype, device=normal.device)
    factor, error = torch.linalg.cholesky_ex(normal + 1e-10 * identity)
    gradient = (terms.gradient[:, 0] * root)[..., None]
    square = (gradient * torch.cholesky_solve(gradient, factor)).sum((1, 2))
    # The residuals of exact matches are rounding errors.
    counts = counts & (error == 0) & (variance > 1e-9)
    square = torch.where(counts, square / torch.where(counts, variance, 1.0), 0.0)
    number = 8 * per_item(counts, batch).sum(1)
    fitted = observed - spare
    ratio = per_item(square, batch).sum(1) / (number - fitted).clamp_min(1)
    return torch.where(number - fitted >= 8, ratio, 1.0).clamp_min(1.0)


def _corner_jacobian(data: Prepared, state: State) -> tuple[Tensor, Tensor]:
    """Return the derivative (B, T, 8, 9) of the corners in the reference, in pixels, by H and k.

    Also whether all corners of a frame lie in front of its horizon, (B, T).
    """
    batch, count = state.homography.shape[:2]
    like = state.homography
    signs = constant([[-1, -1], [1, -1], [1, 1], [-1, 1]], dtype=like.dtype, device=like.device)
    offset = data.centre[:, :, None] * signs  # from the centre, [B, T, 4, 2]
    square = (offset / data.half_diagonal[..., None, None]).square().sum(-1, keepdim=True)
    k = state.distortion[:, None, None, None] if data.pairs.lens is not None else 0.0
    factor = 1 / (1 + k * square)
    moved = offset * factor
    scale = data.normaliser[..., None, 0, :1]  # [B, T, 1, 1]
    shift = data.normaliser[..., None, :2, 2]
    s = scale * (moved + data.centre[:, :, None]) + shift
    by_k = -scale * square * factor * moved
    s = torch.cat((s, torch.ones_like(s[..., :1])), -1)  # [B, T, 4, 3]
    projected = s @ state.homography.mT
    depth = projected[..., 2:]
    ahead = (depth > MIN_DEPTH).flatten(2).all(-1)
    depth = depth.clamp_min(MIN_DEPTH)
    q = projected[..., :2] / depth
    zero = torch.zeros_like(s)
    rows = torch.stack(
        (torch.cat((s, zero, -q[..., :1] * s), -1), torch.cat((zero, s, -q[..., 1:] * s), -1)), -2
    )  # [B, T, 4, 2, 9]
    h = state.homography[:, :, None]
    slope = (h[..., :2, :2] - q[..., None] * h[..., 2:, :2]) @ by_k[..., None]
    jacobian = torch.cat((rows[..., :8], slope), -1) / depth[..., None]
    unit = scale[torch.arange(batch, device=scale.device), data.reference][:, None, ..., None]
    return (jacobian / unit).reshape(batch, count, 8, 9), ahead


def _propagate(covariance: Tensor, jacobian: Tensor) -> Tensor:
    """Return the covariance (B, T, 8, 8) of corners from that (B, n, n) of all parameters."""
    batch, count = jacobian.shape[:2]
    entries = covariance[:, :-1, :-1].reshape(batch, count, 8, count, 8)
    own = entries.diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2)
    cross = covariance[:, :-1, -1].reshape(batch, count, 8, 1)
    last = covariance[:, -1:, -1:, None].expand(batch, count, 1, 1)
    rows = torch.cat((torch.cat((own, cross), 3), torch.cat((cross.mT, last), 3)), 2)
    return jacobian @ rows @ jacobian.mT


def _frame_scales(
    data: Prepared, terms: PairTerms, squares: Tensor, reach: Tensor, inflation: Tensor, shape: tuple[int, int]
) -> Tensor:
    """Return (B, T), the standard deviation of a coordinate of a match in each frame's pairs.

    Stein: of normal errors of variance s^2 in the plane, the mean of ``w |r|^2`` is 2 s^2 times
    that of ``w + t dw/dt``, however the weights w fall. Wrong matches spread evenly over the plane
    add a twelfth of their number within reach to the mean of ``w t``, and nothing to the other; the
    ring around, in which no right ones lie, tells how many there are.
    """
    pairs = data.pairs
    relative = squares / reach.square()[:, None]
    ring = (pairs.weight * ((relative >= 1) & (relative < 1 + _RING_AREA))).sum(1) / _RING_AREA
    spread = (terms.sums[:, 2] - ring / 12) * reach.square()
    moments = torch.stack((spread, 2 * terms.sums[:, 1]), 1)
    total = moments.new_zeros(shape[0] * shape[1], 2)
    for index in (pairs.first, pairs.second):
        total = total.index_add(0, index, moments)
    positive = total[:, 1] > 0
    variance = total[:, 0].clamp_min(0) / torch.where(positive, total[:, 1], 1.0)
    variance = torch.where(positive, variance, torch.inf)
    return (variance.view(shape) * inflation[:, None]).sqrt()


def _narrow_spread(data: Prepared, inliers: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return (B, T), the standard deviation of each frame's points across their main line, px."""
    pairs = data.pairs
    total = inliers.new_zeros(shape[0] * shape[1], 6, dtype=pairs.weight.dtype)
    for points, index in ((pairs.points0, pairs.first), (pairs.points1, pairs.second)):
        x, y = torch.where(inliers[:, None], points, 0.0).unbind(1)
        number = inliers.sum(1).to(x.dtype)
        moments = (number, x.sum(1), y.sum(1), (x * x).sum(1), (x * y).sum(1), (y * y).sum(1))
        total = total.index_add(0, index, torch.stack(moments, 1))
    x, y, xx, xy, yy = (total[:, 1:] / total[:, :1].clamp_min(1)).unbind(1)
    xx, xy, yy = xx - x * x, xy - x * y, yy - y * y
    least = (xx + yy) / 2 - (((xx - yy) / 2).square() + xy.square()).sqrt()
    unit = data.half_diagonal.flatten() if pairs.lens is not None else 1 / pairs.scale
    return (least.clamp_min(0).sqrt() * unit).view(shape)
