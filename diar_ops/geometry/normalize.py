"""Fix the free scale of a homography."""

from __future__ import annotations

import torch
from torch import Tensor

from diar_ops._checks import check_floating, check_shapes, full_precision, solve_dtype
from diar_ops.geometry._matrix3 import determinant, scale_to_unit


@full_precision
def normalize_homography(homography: Tensor) -> Tensor:
    """Scale homographies to determinant 1: H / det(H)^(1/3), with the real cube root.

    H and s H give the same result for every s != 0, negative ones included. (The sign of w in
    front of the horizon is not kept: a mirroring homography comes out with w < 0.)

    Args:
        homography: (..., 3, 3) floating point, of any direction.

    Returns:
        (..., 3, 3) in the same dtype. A singular or non-finite homography has no such form: its
        item is filled with NaN and passes back a zero gradient; other items are untouched.

    Raises:
        ShapeError: The argument is not (..., 3, 3).
        DtypeError: The argument is not a floating point tensor.

    Example:
        >>> H = torch.tensor([[2.0, 0.0, 8.0], [0.0, 2.0, -4.0], [0.0, 0.0, 2.0]])
        >>> normalize_homography(H)
        tensor([[ 1.,  0.,  4.],
                [ 0.,  1., -2.],
                [ 0.,  0.,  1.]])
    """
    check_shapes("normalize_homography", homography=(homography, "... 3 3"))
    check_floating("normalize_homography", homography=homography)
    matrix, usable = scale_to_unit(homography.to(solve_dtype(homography.dtype)))
    det, regular = determinant(matrix)
    usable = (usable & regular)[..., None, None]
    det = torch.where(usable, det[..., None, None], 1)
    root = det.sign() * det.abs() ** (1 / 3)
    return torch.where(usable, matrix / root, torch.nan).to(homography.dtype)
