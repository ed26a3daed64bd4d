"""Distance of two homographies as matrices."""

from __future__ import annotations

import torch
from torch import Tensor

from diar_ops._checks import check_broadcast, check_floating, check_shapes, full_precision, solve_dtype
from diar_ops.geometry.normalize import normalize_homography


@full_precision
def homography_distance(homography: Tensor, other: Tensor) -> Tensor:
    """Return ||H / det(H)^(1/3) - G / det(G)^(1/3)||_F, the Frobenius distance at determinant 1.

    The entries mix units (scale, pixels, 1 / pixels): the number compares methods on images of
    one size. :func:`corner_error` has a unit.

    Args:
        homography: H, (..., 3, 3) floating point.
        other: G, (..., 3, 3) of the same direction; leading sizes broadcast.

    Returns:
        (...,) distance, in the promoted dtype of both; ``inf`` where H or G is singular or not
        finite. The gradient at H = G is 0.

    Raises:
        ShapeError: An argument is not (..., 3, 3), or the leading sizes do not broadcast.
        DtypeError: An argument is not a floating point tensor.

    Example:
        >>> H, G = torch.eye(3), torch.eye(3)
        >>> G[:2, 2] = torch.tensor([3.0, 4.0])
        >>> homography_distance(H, G), homography_distance(H, 2 * H)
        (tensor(5.), tensor(0.))
    """
    op = "homography_distance"
    check_shapes(op, homography=(homography, "... 3 3"), other=(other, "... 3 3"))
    check_floating(op, homography=homography, other=other)
    check_broadcast(op, homography=homography.shape[:-2], other=other.shape[:-2])
    result_dtype = torch.promote_types(homography.dtype, other.dtype)
    dtype = solve_dtype(result_dtype)
    difference = normalize_homography(homography.to(dtype)) - normalize_homography(other.to(dtype))
    defined = difference.detach().isfinite().all(dim=-1, keepdim=True).all(dim=-2, keepdim=True)
    # vector_norm has the subgradient 0 at 0, where sqrt(sum of squares) gives NaN.
    distance = torch.linalg.vector_norm(torch.where(defined, difference, 0), dim=(-2, -1))
    return torch.where(defined[..., 0, 0], distance, torch.inf).to(result_dtype)
