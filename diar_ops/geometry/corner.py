"""Distance of two homographies in pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from diar_ops._checks import (
    check_broadcast,
    check_floating,
    check_shapes,
    check_size,
    eps_of,
    full_precision,
    solve_dtype,
)
from diar_ops._pixels import constant
from diar_ops.geometry._matrix3 import scale_to_unit


@full_precision
def corner_error(homography: Tensor, other: Tensor, *, size: tuple[int, int]) -> Tensor:
    """Return the mean distance, in destination pixels, of the four projected source corners.

    The corners are the centres of the four corner pixels: (0, 0), (w - 1, 0), (w - 1, h - 1) and
    (0, h - 1). The scale and sign of either homography do not matter.

    Args:
        homography: H, (..., 3, 3) floating point, dst ~ H @ src.
        other: G, (..., 3, 3) of the same direction; leading sizes broadcast.
        size: (height, width) of the source image, in pixels.

    Returns:
        (...,) error in pixels, in the promoted dtype of both; ``inf`` where the horizon of H or
        of G crosses the image (its corners do not all lie in front), and where one of them is not
        finite. The gradient is finite everywhere, 0 at H = G.

    Raises:
        ShapeError: An argument is not (..., 3, 3), or the leading sizes do not broadcast.
        DtypeError: An argument is not a floating point tensor.
        OptionError: ``size`` is not two positive integers.

    Example:
        >>> H, G = torch.eye(3), torch.eye(3)
        >>> G[:2, 2] = torch.tensor([3.0, 4.0])  # moves all corners by 3 and 4 pixels
        >>> corner_error(H, G, size=(480, 640))
        tensor(5.)
    """
    op = "corner_error"
    check_shapes(op, homography=(homography, "... 3 3"), other=(other, "... 3 3"))
    check_floating(op, homography=homography, other=other)
    check_broadcast(op, homography=homography.shape[:-2], other=other.shape[:-2])
    size = check_size(op, size)
    result_dtype = torch.promote_types(homography.dtype, other.dtype)
    dtype = solve_dtype(result_dtype)
    right, bottom = size[1] - 1.0, size[0] - 1.0
    corners = constant(
        [[0.0, 0.0, 1.0], [right, 0.0, 1.0], [right, bottom, 1.0], [0.0, bottom, 1.0]],
        dtype=dtype,
        device=homography.device,
    )  # [4, xyw]
    projected, projected_ok = _project(corners, homography.to(dtype))
    expected, expected_ok = _project(corners, other.to(dtype))
    defined = projected_ok & expected_ok
    difference = torch.where(defined[..., None, None], projected - expected, 0)
    error = torch.linalg.vector_norm(difference, dim=-1).mean(-1)
    return torch.where(defined, error, torch.inf).to(result_dtype)


def _project(corners: Tensor, homography: Tensor) -> tuple[Tensor, Tensor]:
    """Return corners (..., 4, 2) and whether all four lie on one side of the horizon (...,)."""
    matrix, usable = scale_to_unit(homography)
    projected = corners @ matrix.mT
    w = projected[..., 2]
    noise = eps_of(w.dtype) * (corners @ matrix.detach()[..., 2, :, None].abs())[..., 0]
    side = w.detach() * w.detach()[..., :1].sign()
    ok = usable & (side > noise).all(-1)
    points = projected[..., :2] / torch.where(ok[..., None], w, 1)[..., None]
    return points, ok & points.detach().isfinite().all(-1).all(-1)
