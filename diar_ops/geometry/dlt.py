"""Homographies from correspondences by the direct linear transform."""

from __future__ import annotations

import torch
from torch import Tensor

from diar_ops._checks import check_floating, check_shapes, full_precision, is_exporting, widest_dtype
from diar_ops.geometry._matrix3 import denormalize
from diar_ops.geometry._minimal import corner_areas, four_point_homography
from diar_ops.geometry._operator import define_operator


@full_precision
def homography_dlt(points_src: Tensor, points_dst: Tensor, weights: Tensor | None = None) -> Tensor:
    r"""Fit homographies to correspondences by the normalised direct linear transform.

    Minimises :math:`\sum_i w_i \lVert \hat x'_i \times \hat H \hat x_i \rVert^2` over
    :math:`\lVert \hat H \rVert = 1`, the hats marking coordinates shifted and scaled to zero mean
    and mean square distance 2 (Hartley, In defense of the eight-point algorithm, PAMI 1997; Hartley
    & Zisserman, 2nd ed., algorithm 4.2). Four correspondences are fitted exactly, in closed form.

    Correspondences that are not finite or whose weight is not positive and finite are ignored.
    Where fewer than four remain, or they lie so that no homography or more than one fits (three of
    four collinear, all but one on a line, coincident), to within the rounding of the inputs, the
    result is the identity and its gradients are zero.

    Everything is solved in float64 (float32 on devices without it). First derivatives with respect
    to points and weights are exact also where singular values coincide, such as at the corners of
    a square mapped to themselves; second derivatives exist for four correspondences only.

    Args:
        points_src: (B, N, 2) positions (x, y) in the source, any unit, floating point.
        points_dst: (B, N, 2) positions (x, y) in the destination, any unit.
        weights: Optional (B, N) non-negative weights; all 1 without it.

    Returns:
        homography_dst_src: (B, 3, 3) with ``dst ~ H @ src``, in the dtype of ``points_src``,
        ``|det H| = 1``, and signed so that the source points have ``w > 0``: then ``det H = 1``
        unless the destination is mirrored. ``H[2, 2]`` may be 0 or negative.

    Raises:
        ShapeError, DtypeError, DeviceError: The tensors do not fit together.
    """
    check_shapes(
        "homography_dlt", points_src=(points_src, "B N 2"), points_dst=(points_dst, "B N 2"), weights=(weights, "? B N")
    )
    check_floating("homography_dlt", points_src=points_src, points_dst=points_dst, weights=weights)
    if torch.compiler.is_compiling() and not is_exporting():
        fitted: Tensor = _operator(points_src, points_dst, weights)
        return fitted
    return _fit(points_src, points_dst, weights)


def _fit(points_src: Tensor, points_dst: Tensor, weights: Tensor | None) -> Tensor:
    """Do what :func:`homography_dlt` says, with checked arguments."""
    # Coordinates of the coarser dtype carry its rounding: it decides what counts as degenerate. That
    # of bfloat16 would call everything degenerate.
    eps = max(torch.finfo(points_src.dtype).eps, torch.finfo(points_dst.dtype).eps)
    eps = min(eps, torch.finfo(torch.float16).eps)
    dtype = widest_dtype(points_src.device)
    src, dst = points_src.to(dtype), points_dst.to(dtype)
    usable = src.isfinite().all(-1) & dst.isfinite().all(-1)
    if weights is None:
        weight = usable.to(dtype)
    else:
        usable = usable & weights.isfinite() & (weights > 0)
        weight = torch.where(usable, weights, 0.0).to(dtype)
    src = torch.where(usable[..., None], src, 0.0)
    dst = torch.where(usable[..., None], dst, 0.0)
    # The scale of the weights is free; huge or tiny ones must not leave the float range.
    peak = weight.detach().amax(-1, keepdim=True) if weight.shape[-1] else weight.new_ones(1)
    weight = weight / torch.where(peak > 0, peak, 1.0)

    src_hat, src_mean, src_scale = _normalise(src, weight)
    dst_hat, dst_mean, dst_scale = _normalise(dst, weight)
    # Far from the origin, rounding is larger relative to the points' spread.
    src_unit = eps * (1.0 + (src_mean.detach() * src_scale.detach()[:, None]).abs().amax(-1))
    dst_unit = eps * (1.0 + (dst_mean.detach() * dst_scale.detach()[:, None]).abs().amax(-1))
    unit = torch.maximum(src_unit, dst_unit)  # (B,)
    if points_src.shape[1] == 4:
        h, fits = _solve_four(src_hat, dst_hat, unit)
    else:
        h, fits = _solve_many(src_hat, dst_hat, weight, unit)
    fits = fits & (usable.sum(-1) >= 4)

    h = h.reshape(-1, 3, 3)
    ones = torch.ones_like(src_hat[..., :1])
    w = (torch.cat([src_hat, ones], -1) * h[:, None, 2]).sum(-1)  # (B, N)
    sign = torch.where((w * weight).sum(-1) < 0, -1.0, 1.0)
    det = torch.linalg.det(h)
    fits = fits & _spans_plane(src_hat, weight, unit) & _spans_plane(dst_hat, weight, unit)
    fits = fits & (det.abs() > (unit * unit).clamp_min(64 * torch.finfo(dtype).eps)) & det.isfinite()
    h = h * sign[:, None, None]

    src_scale = torch.where(fits, src_scale, 1.0)
    dst_scale = torch.where(fits, dst_scale, 1.0)
    h = denormalize(h, src_mean, src_scale, dst_mean, dst_scale)
    size = torch.where(fits, det.abs() * (src_scale / dst_scale) ** 2, 1.0) ** (1 / 3)
    identity = torch.eye(3, dtype=dtype, device=h.device)
    return torch.where(fits[:, None, None], h / size[:, None, None], identity).to(points_src.dtype)


_operator = define_operator(
    "homography_dlt",
    "Tensor points_src, Tensor points_dst, Tensor? weights",
    1,
    _fit,
    lambda points_src, *others: points_src.new_empty(points_src.shape[0], 3, 3),
)


def _normalise(points: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return points of zero mean and mean square distance 2, the mean, and the scale."""
    total = weight.sum(-1)
    total = torch.where(total > 0, total, 1.0)
    mean = (weight[..., None] * points).sum(-2) / total[:, None]
    centred = points - mean[:, None]
    variance = (weight * centred.square().sum(-1)).sum(-1) / total
    positive = variance > 0
    scale = torch.where(positive, (2.0 / torch.where(positive, variance, 1.0)).sqrt(), 0.0)
    return centred * scale[:, None, None], mean, scale


def _spans_plane(points: Tensor, weight: Tensor, unit: Tensor) -> Tensor:
    """Return (B,), False where the points of zero mean lie on one line, but for rounding."""
    x, y = points.unbind(-1)
    xx, xy, yy = ((weight * product).sum(-1) for product in (x * x, x * y, y * y))
    return xx * yy - xy * xy > (16 * unit * (xx + yy)) ** 2


def _solve_four(src: Tensor, dst: Tensor, unit: Tensor) -> tuple[Tensor, Tensor]:
    """Return the homographies (B, 9) of unit norm through four points, and where they exist."""
    src_corners = corner_areas(src.permute(2, 1, 0))
    dst_corners = corner_areas(dst.permute(2, 1, 0))
    smallest = torch.minimum(src_corners.areas.abs().amin(0), dst_corners.areas.abs().amin(0))
    fits = smallest > 16 * unit
    areas = torch.where(fits, src_corners.areas, 1.0)
    h = four_point_homography(src_corners._replace(areas=areas), dst_corners).T
    norm = h.square().sum(-1, keepdim=True)
    return h / torch.where(norm > 0, norm, 1.0).sqrt(), fits


def _solve_many(src: Tensor, dst: Tensor, weight: Tensor, unit: Tensor) -> tuple[Tensor, Tensor]:
    """Return the null vectors (B, 9) of the weighted design matrix, and where they are unique.

    The eigenvectors of A^T W A are constants; one step of iterative refinement,
    ``h - (A^T W A - lambda)^+ A^T (W (A h))``, both removes the digits that forming A^T W A loses
    and carries the exact first derivative of the eigenvector.
    """
    ones = torch.ones_like(src[..., :1])
    homogeneous = torch.cat([src, ones], -1)
    zeros = torch.zeros_like(homogeneous)
    x_rows = torch.cat([homogeneous, zeros, -dst[..., :1] * homogeneous], -1)
    y_rows = torch.cat([zeros, homogeneous, -dst[..., 1:] * homogeneous], -1)
    rows = torch.cat([x_rows, y_rows], 1)  # (B, 2N, 9)
    weighted = rows * torch.cat([weight, weight], 1)[..., None]
    with torch.no_grad():
        normal = weighted.mT @ rows
        # NaN and infinity make eigh raise; such items come out as not unique.
        finite = normal.isfinite().flatten(1).all(-1)
        values, vectors = torch.linalg.eigh(torch.where(finite[:, None, None], normal, 0.0))
        floor = (64 * unit * unit).clamp_min(64 * torch.finfo(rows.dtype).eps)
        unique = finite & (values[:, 1] > floor * values[:, -1])
        gaps = torch.where(unique[:, None], values[:, 1:] - values[:, :1], torch.inf)
        h = vectors[..., 0]
    residual = weighted.mT @ (rows @ h[..., None])  # (B, 9, 1)
    others = vectors[..., 1:]
    h = h - (others @ ((others.mT @ residual) / gaps[..., None])).squeeze(-1)
    return h, unique
