"""Homographies from correspondences by the direct linear transform."""

from __future__ import annotations

import torch
from torch import Tensor

from diar_ops._checks import check_floating, check_shapes, full_precision, is_exporting, under_transform, widest_dtype
from diar_ops.geometry._matrix3 import denormalize, normal_matrix
from diar_ops.geometry._minimal import Corners, corner_areas, four_point_homography
from diar_ops.geometry._operator import define_operator

#: What inverse iteration adds to the diagonal, in traces: more than rounding may make negative.
_SHIFT = 1e-14
#: How often the vector is multiplied by the square of the inverse: eigenvalues whose ratio is 0.3 or
#: less are told apart.
_REPEATS = 6
#: The last step of an iteration that has converged, for vectors of unit norm.
_CONVERGED = 1e-7
#: How far from the floor under which it is not unique an eigenvector is certain to be unique.
_MARGIN = 2.0


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

    Example:
        >>> H = torch.tensor([[[1.0, 0.1, 5.0], [0.0, 1.2, -3.0], [0.0, 0.001, 1.0]]])
        >>> points_src = torch.tensor([[[0.0, 0.0], [90.0, 0.0], [90.0, 60.0], [0.0, 60.0]]])
        >>> fitted = homography_dlt(points_src, transform_points(points_src, H).points)
        >>> torch.allclose(fitted / fitted[:, 2:, 2:], H, atol=1e-4)  # its scale means nothing
        True
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
    # Rows of coordinates, whose sums and products run along memory.
    points = torch.cat([points_src.mT.to(dtype), points_dst.mT.to(dtype)], 1)  # (B, 4, N)
    weight: Tensor | None = None
    enough: Tensor | bool = points.shape[2] >= 4
    # A finite sum has finite terms: then there is nothing to ignore.
    if weights is not None or not (_may_branch(points) and bool(points.detach().sum().isfinite())):
        usable = (points.detach() * 0.0).sum(1) == 0  # neither NaN nor infinite
        if weights is not None:
            usable = usable & weights.isfinite() & (weights > 0)
        counted = usable.to(dtype)
        weight = counted if weights is None else torch.where(usable, weights, 0.0).to(dtype)
        points = points.nan_to_num(0.0, 0.0, 0.0) * counted[:, None]
        enough = usable.sum(-1) >= 4
    if weight is not None and weight.shape[-1]:
        # The scale of the weights is free; huge or tiny ones must not leave the float range.
        peak = weight.detach().amax(-1, keepdim=True)
        weight = weight / torch.where(peak > 0, peak, 1.0)

    hat, mean, scale, scatter = _normalise(points, weight)
    src_mean, dst_mean = mean.unbind(1)
    src_scale, dst_scale = scale.unbind(1)
    # Far from the origin, rounding is larger relative to the points' spread.
    unit = eps * (1.0 + (mean.detach() * scale.detach()[..., None]).abs().flatten(1).amax(-1))  # (B,)
    if points_src.shape[1] == 4:
        h, fits = _solve_four(hat, unit)
    else:
        h, fits = _solve_many(hat, weight, unit)
    fits = fits & enough & _span_planes(scatter, unit)

    h = h.reshape(-1, 3, 3)
    # The mean of w over the source points, whose own mean is 0.
    sign = torch.where(h[:, 2, 2] < 0, -1.0, 1.0)
    det = torch.linalg.det(h)
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


def _may_branch(tensor: Tensor) -> bool:
    """Return whether the values may decide what is computed: a GPU would wait, a trace go wrong."""
    return tensor.device.type == "cpu" and not under_transform() and not is_exporting()


def _normalise(points: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return points (B, 4, N) of zero mean and mean square distance 2, means (B, 2, 2), scales (B, 2).

    On either side, the source first. Last their scatter matrices (B, 2, 2, 2), not scaled.
    """
    if weight is None:
        total = points.new_full((1, 1, 1), max(points.shape[2], 1))
        mean = points.sum(-1, keepdim=True) / total  # (B, 4, 1)
    else:
        total = weight.sum(-1)[:, None, None]
        total = torch.where(total > 0, total, 1.0)
        mean = points @ weight[..., None] / total
    centred = points - mean
    products = _weigh(centred, weight) @ centred.mT  # (B, 4, 4)
    scatter = torch.stack([products[:, :2, :2], products[:, 2:, 2:]], 1)
    variance = scatter.diagonal(dim1=-2, dim2=-1).sum(-1) / total[..., 0]
    positive = variance > 0
    scale = torch.where(positive, (2.0 / torch.where(positive, variance, 1.0)).sqrt(), 0.0)
    return centred * scale.repeat_interleave(2, 1)[..., None], mean.view(-1, 2, 2), scale, scatter.detach()


def _weigh(rows: Tensor, weight: Tensor | None) -> Tensor:
    """Return rows (B, R, N) times the weights (B, N) of the points; ``None``: all are 1."""
    return rows if weight is None else rows * weight[:, None]


def _span_planes(scatter: Tensor, unit: Tensor) -> Tensor:
    """Return (B,), False where points of (B, 2, 2, 2) lie on one line, but for rounding."""
    (xx, xy), (_, yy) = (row.unbind(-1) for row in scatter.unbind(-2))
    return (xx * yy - xy * xy > (16 * unit[:, None] * (xx + yy)) ** 2).all(-1)


def _solve_four(points: Tensor, unit: Tensor) -> tuple[Tensor, Tensor]:
    """Return the homographies (B, 9) of unit norm through four points, and where they exist."""
    both = corner_areas(points.view(-1, 2, 2, 4).permute(1, 2, 3, 0))
    src, dst = (Corners(*(field[side] for field in both)) for side in range(2))
    fits = both.areas.detach().abs().amin((0, 1)) > 16 * unit
    h = four_point_homography(src._replace(areas=torch.where(fits, src.areas, 1.0)), dst).T
    norm = h.square().sum(-1, keepdim=True)
    return h / torch.where(norm > 0, norm, 1.0).sqrt(), fits


def _solve_many(points: Tensor, weight: Tensor | None, unit: Tensor) -> tuple[Tensor, Tensor]:
    """Return the null vectors (B, 9) of the weighted design matrix A, and where they are unique.

    The rows of A are ``(s, 0, -x' s)`` and ``(0, s, -y' s)`` with ``s = (x, y, 1)``. The eigenvectors
    of A^T W A are constants; one step of iterative refinement,
    ``h - (A^T W A - lambda)^+ A^T (W (A h))``, both removes the digits that forming A^T W A loses
    and carries the exact first derivative of the eigenvector.
    """
    x, y = points[:, 2], points[:, 3]
    homogeneous = torch.cat([points[:, :2], torch.ones_like(points[:, :1])], 1)  # (B, 3, N)
    with torch.no_grad():
        monomials = (homogeneous[:, :, None] * homogeneous[:, None]).flatten(1, 2)  # (B, 9, N)
        lever = torch.stack([torch.ones_like(x), -x, -y, (x * x).addcmul(y, y)], 1)
        normal = normal_matrix(_weigh(lever, weight) @ monomials.mT)
        h, inverse, unique = _smallest(normal, unit)
    u, v, w = (h.view(-1, 3, 3) @ homogeneous).unbind(1)
    u, v = torch.addcmul(u, x, w, value=-1), torch.addcmul(v, y, w, value=-1)
    pull = _weigh(torch.stack([u, v, -(x * u).addcmul(y, v)], 1), weight)
    residual = (pull @ homogeneous.mT).flatten(1)  # A^T (W (A h))
    residual = residual - (residual * h).sum(-1, keepdim=True) * h
    step = (inverse @ residual[..., None]).squeeze(-1)
    return h - (step - (step * h).sum(-1, keepdim=True) * h), unique


def _smallest(normal: Tensor, unit: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the eigenvectors (B, 9) of the smallest eigenvalues, (B, 9, 9) and which are unique.

    The matrices are the inverses of ``normal - lambda`` on the complement of the eigenvectors.
    """
    floor = (64 * unit * unit).clamp_min(64 * torch.finfo(normal.dtype).eps)
    if not _may_branch(normal):
        return _decompose(normal, floor)
    h, inverse, certain = _iterate(normal, floor)
    unique = certain
    doubtful = (~certain).nonzero().squeeze(-1)
    if doubtful.numel():
        decided = _decompose(normal[doubtful], floor[doubtful])
        h, inverse, unique = (x.index_copy(0, doubtful, y) for x, y in zip((h, inverse, certain), decided, strict=True))
    return h, inverse, unique


def _decompose(normal: Tensor, floor: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Do what :func:`_smallest` does by all eigenvectors."""
    # NaN and infinity make eigh raise; such items come out as not unique.
    finite = normal.isfinite().flatten(1).all(-1)
    values, vectors = torch.linalg.eigh(torch.where(finite[:, None, None], normal, 0.0))
    unique = finite & (values[:, 1] > floor * values[:, -1])
    gaps = torch.where(unique[:, None], values[:, 1:] - values[:, :1], torch.inf)
    others = vectors[..., 1:]
    return vectors[..., 0], (others / gaps[:, None]) @ others.mT, unique


def _iterate(normal: Tensor, floor: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Do what :func:`_smallest` does by inverse iteration; return (B,) for which that is certain.

    In a third of the time of all the eigenvectors. Uncertain is what has not converged, or has a
    second eigenvalue that may lie under ``floor`` times the largest.
    """
    trace = normal.diagonal(dim1=-2, dim2=-1).sum(-1)[:, None, None]
    identity = torch.eye(9, dtype=normal.dtype)
    power, sound = _invert(normal + _SHIFT * trace * identity, identity)
    power = power / power.diagonal(dim1=-2, dim2=-1).sum(-1)[:, None, None]
    power = power @ power
    # All columns are nearly multiples of the vector: the one with the largest of its entries.
    largest = power.diagonal(dim1=-2, dim2=-1).argmax(-1)[:, None, None]
    h = power.gather(2, largest.expand(-1, 9, 1))  # (B, 9, 1)
    for _ in range(_REPEATS):
        h = power @ h
    h = h / h.norm(dim=1, keepdim=True)
    image = normal @ h
    value = (h * image).sum(1, keepdim=True)
    # On the complement of h, this is normal - lambda: positive definite if lambda is the smallest.
    inverse, smallest = _invert(normal - value * identity + (trace + value) * (h * h.mT), identity)
    for _ in range(2):
        step = inverse @ (image - value * h)
        h = h - step
        h = h / h.norm(dim=1, keepdim=True)
        image = normal @ h
    # The sum of the inverses of the other eigenvalues less the smallest: eight at most.
    gap = 1.0 / (inverse.diagonal(dim1=-2, dim2=-1).sum(-1) - 1.0 / (trace + value)[:, 0, 0])
    certain = sound & smallest & (step.abs().amax((1, 2)) < _CONVERGED) & (gap > _MARGIN * floor * trace[:, 0, 0])
    return h.squeeze(-1), inverse, certain


def _invert(matrix: Tensor, identity: Tensor) -> tuple[Tensor, Tensor]:
    """Return the inverses of symmetric matrices (B, 9, 9) that are positive definite, and which are."""
    factor, failed = torch.linalg.cholesky_ex(matrix)
    sound = failed == 0
    return torch.cholesky_inverse(torch.where(sound[:, None, None], factor, identity)), sound
