"""The homography that a camera induces on a plane."""

from __future__ import annotations

import torch
from torch import Tensor

from diar_ops._checks import check_broadcast, check_floating, check_shapes, full_precision, solve_dtype
from diar_ops.geometry._matrix3 import constant


@full_precision
def homography_from_camera(K: Tensor, R: Tensor, t: Tensor, plane: Tensor | None = None) -> Tensor:
    """Return the exact homography of a plane seen by a pinhole camera: frame ~ H @ plane.

    A plane point with picture coordinates (u, v) lies in the world at
    X = u axis_u + v axis_v + origin, in the camera at R X + t (OpenCV: x right, y down, z ahead),
    and is seen at K (R X + t). So H = K (R [axis_u, axis_v, origin] + [0, 0, t]), and w of a
    projected point is its depth: positive in front of the camera.

    Pixel centres are at integers. A K whose principal point counts from the outer corner of the
    image, so that the image spans (0, 0) to (width, height), takes 0.5 off both of its
    coordinates first. A picture that spans ``corner + [0, w] du`` by ``[0, h] dv`` in the world
    (du, dv: one pixel) has ``axis_u = du``, ``axis_v = dv`` and
    ``origin = corner + (du + dv) / 2``, the centre of its top-left pixel.

    Args:
        K: (..., 3, 3) intrinsics in pixels, floating point.
        R: (..., 3, 3) rotation world to camera.
        t: (..., 3) translation, in world units.
        plane: Optional (..., 3, 3) whose columns are axis_u, axis_v (world units per picture
            pixel) and origin (world units). The default is the world plane z = 0 with the
            picture's coordinates equal to the world's x and y.

    Returns:
        ``homography_frame_plane`` (..., 3, 3) in the promoted dtype; leading sizes broadcast. Not
        normalised, so that w stays the depth.

    Raises:
        ShapeError: A shape does not fit, or the leading sizes do not broadcast.
        DtypeError: An argument is not a floating point tensor.

    Source: Hartley and Zisserman, Multiple View Geometry, 2nd ed., section 8.1.1.
    """
    op = "homography_from_camera"
    check_shapes(op, K=(K, "... 3 3"), R=(R, "... 3 3"), t=(t, "... 3"), plane=(plane, "? ... 3 3"))
    check_floating(op, K=K, R=R, t=t, plane=plane)
    check_broadcast(
        op, K=K.shape[:-2], R=R.shape[:-2], t=t.shape[:-1], plane=None if plane is None else plane.shape[:-2]
    )
    result_dtype = torch.promote_types(torch.promote_types(K.dtype, R.dtype), t.dtype)
    if plane is None:
        plane = constant([[1, 0, 0], [0, 1, 0], [0, 0, 0]], dtype=result_dtype, device=K.device)
    result_dtype = torch.promote_types(result_dtype, plane.dtype)
    dtype = solve_dtype(result_dtype)
    rotated = R.to(dtype) @ plane.to(dtype)
    shift = torch.nn.functional.pad(t.to(dtype)[..., None], (2, 0))
    return (K.to(dtype) @ (rotated + shift)).to(result_dtype)
