"""Project points through a homography, and say which of them have an image at all."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._checks import check_broadcast, check_floating, check_shapes, eps_of, full_precision, solve_dtype
from diar_ops.geometry._matrix3 import front_sign, scale_to_unit


class TransformedPoints(NamedTuple):
    """Projected points.

    Attributes:
        points: (..., N, 2) positions (x, y) in pixels; (0, 0) where ``valid`` is False.
        valid: (..., N) bool; False behind the horizon and where the input is not finite.
    """

    points: Tensor
    valid: Tensor


@full_precision
def transform_points(points: Tensor, homography_dst_src: Tensor, front: Tensor | None = None) -> TransformedPoints:
    """Project points: dst ~ H @ (x, y, 1), with their validity.

    A homography maps one side of a line in the source, the horizon, into the destination as seen,
    and the other side as a mirage from behind the camera. H and -H are the same homography, so
    the sign of w alone cannot tell the sides apart: a point is in front if it lies on the same
    side of the horizon as ``front``. The default, the origin, is the usual ``H[2, 2] > 0``. Where
    ``front`` lies exactly on the horizon, the side that is not mirrored (det(H) w > 0) is in front.
    Multiplying H by any non-zero number changes nothing.

    Args:
        points: (..., N, 2) source positions (x, y), in pixels, floating point.
        homography_dst_src: (..., 3, 3), dst ~ H @ src; the leading sizes broadcast against those
            of ``points``.
        front: Optional (..., 2) source position known to be in front of the horizon, such as the
            centre of the image.

    Returns:
        :class:`TransformedPoints`, in the dtype of ``points``. A point is invalid (and 0) behind
        and on the horizon, where it or its homography is not finite, and for a zero H.

    Raises:
        ShapeError: A shape does not fit, or the leading sizes do not broadcast.
        DtypeError: An argument is not a floating point tensor.
    """
    op = "transform_points"
    check_shapes(
        op, points=(points, "... N 2"), homography_dst_src=(homography_dst_src, "... 3 3"), front=(front, "? ... 2")
    )
    check_floating(op, points=points, homography_dst_src=homography_dst_src, front=front)
    check_broadcast(
        op,
        points=points.shape[:-2],
        homography_dst_src=homography_dst_src.shape[:-2],
        front=None if front is None else front.shape[:-1],
    )
    dtype = solve_dtype(torch.promote_types(points.dtype, homography_dst_src.dtype))
    matrix, usable = scale_to_unit(homography_dst_src.to(dtype))
    matrix = matrix * front_sign(matrix, None if front is None else front.to(dtype))[..., None, None]

    finite = points.isfinite().all(-1)
    xy = torch.where(finite[..., None], points, 0).to(dtype)
    linear, offset = matrix[..., :, :2], matrix[..., :, 2]
    projected = xy @ linear.mT + offset[..., None, :]
    w = projected[..., 2]
    # Below this w is nothing but the rounding of its own sum.
    noise = (xy.abs() @ linear[..., 2, :, None].abs())[..., 0] + offset[..., 2, None].abs()
    valid = finite & usable[..., None] & (w > eps_of(dtype) * noise.detach())
    image = projected[..., :2] / torch.where(valid, w, 1)[..., None]
    image = image.to(points.dtype)  # which may overflow
    valid = valid & image.detach().isfinite().all(-1)
    image = torch.where(valid[..., None], image, 0)
    return TransformedPoints(image, valid)
