"""Radial lens distortion with one coefficient: the division model, exactly invertible."""

from __future__ import annotations

import math
from typing import NamedTuple

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
from diar_ops.geometry.transform import TransformedPoints

#: No lens shows in a photo what lies this many half diagonals off its axis, undistorted.
_FAR = 100.0


@full_precision
def undistort_points(points: Tensor, distortion: Tensor, *, size: tuple[int, int]) -> TransformedPoints:
    """Remove the lens distortion from points: photo to ideal pinhole photo.

    The division model: with d the offset from the centre c of the image and r its length over half
    its diagonal, ``undistorted = c + d / (1 + k r^2)``. Straight lines of the scene are straight in
    undistorted coordinates. k < 0 is a barrel, as most phones have; the corners (r = 1) move by
    k times half the diagonal, nearly.

    Args:
        points: (..., N, 2) positions (x, y) in the photo, in pixels, floating point.
        distortion: (...) floating point, k; leading sizes broadcast against those of ``points``.
        size: (height, width) of the photo, in pixels.

    Returns:
        :class:`TransformedPoints`, in the dtype of ``points``. A point is invalid (and 0) where it
        or k is not finite and where the model folds: k r^2 <= -1 or >= 1.

    Raises:
        ShapeError: A shape does not fit, or the leading sizes do not broadcast.
        DtypeError: An argument is not a floating point tensor.
        OptionError: ``size`` is not a size.

    Source: Fitzgibbon, Simultaneous linear estimation of multiple view geometry and lens
    distortion, CVPR 2001, equation 2.

    Example:
        >>> points = torch.tensor([[319.5, 239.5], [0.0, 239.5], [0.0, 0.0]])  # centre first
        >>> k = torch.tensor(-0.1)  # a barrel: what it drew inwards moves out again
        >>> undistort_points(points, k, size=(480, 640)).points.round(decimals=1)
        tensor([[319.5000, 239.5000],
                [-21.8000, 239.5000],
                [-35.4000, -26.5000]])
    """
    offset, k, usable, geometry = _prepare("undistort_points", points, distortion, size)
    radial = k * (offset / geometry[1]).square().sum(-1)
    valid = usable & (radial.detach().abs() < 1 - eps_of(offset.dtype))
    factor = 1 / (1 + torch.where(valid, radial, 0))
    return _finish(offset, factor, valid, geometry[0], points.dtype)


@full_precision
def distort_points(points: Tensor, distortion: Tensor, *, size: tuple[int, int]) -> TransformedPoints:
    """Apply the lens distortion to points: the inverse of :func:`undistort_points`.

    Args:
        points: (..., N, 2) undistorted positions (x, y), in pixels, floating point.
        distortion: (...) floating point, k of :func:`undistort_points`; leading sizes broadcast
            against those of ``points``.
        size: (height, width) of the photo, in pixels.

    Returns:
        :class:`TransformedPoints`, in the dtype of ``points``. A point is invalid (and 0) where it
        or k is not finite, and where no pixel of the model shows it (4 k r^2 >= 1).

    Raises:
        ShapeError: A shape does not fit, or the leading sizes do not broadcast.
        DtypeError: An argument is not a floating point tensor.
        OptionError: ``size`` is not a size.

    Source: the closed-form root of the division model, see :func:`undistort_points`.

    Example:
        >>> k = torch.tensor(-0.1)
        >>> ideal = torch.tensor([[-15.0, 239.5]])  # a barrel draws it into the photo
        >>> distort_points(ideal, k, size=(480, 640)).points.round(decimals=1)
        tensor([[  5.6000, 239.5000]])
    """
    offset, k, usable, geometry = _prepare("distort_points", points, distortion, size)
    factor, exists = _distorting_factor(k, (offset / geometry[1]).square().sum(-1))
    return _finish(offset, factor, usable & exists, geometry[0], points.dtype)


class PhotoLens(NamedTuple):
    """Lens distortion of photos of which the images are a part, or the whole.

    Attributes:
        distortion: (B,) k of :func:`undistort_points`.
        size: (height, width) of the images.
        photo_size: (height, width) of the photos.
        photo_offset: Position (x, y) of the image's first pixel in the photo.
    """

    distortion: Tensor
    size: tuple[int, int]
    photo_size: tuple[int, int]
    photo_offset: tuple[float, float]

    def distort(self, grid: Tensor) -> tuple[Tensor, Tensor]:
        """Distort normalised positions (B, h, w, 2) in the image; -1 and 1 are its edges.

        Returns:
            The positions in the image, and whether (B, h, w) the model has them at all.
        """
        half, shift, unit = self._geometry(grid)
        k = self.distortion.to(grid.dtype)[:, None, None]
        known = k.isfinite()
        offset = (grid * half + shift) / unit
        # Far outside, positions would overflow when squared.
        near = known & (offset.detach().abs().amax(-1) < _FAR)
        square = torch.where(near[..., None], offset, 0).square().sum(-1)
        factor, exists = _distorting_factor(torch.where(known, k, 0), square)
        grid = torch.where(near[..., None], grid, 0)
        distorted = grid * factor[..., None] + (shift / half) * (factor - 1)[..., None]
        return distorted, exists & near

    def reach(self, dtype: torch.dtype) -> Tensor:
        """Return (B, 2), an upper bound of the undistorted coordinates of the image's pixels.

        Normalised and from the centre of the image: 1 without a distortion.
        """
        half, shift, unit = self._geometry(self.distortion.to(dtype))
        farthest = torch.linalg.vector_norm(half + shift.abs()) / unit
        bend = (self.distortion.detach().abs().to(dtype) * farthest.square()).clamp_max(0.9)
        reach: Tensor = 1 + (farthest * unit * bend / (1 - bend))[:, None] / half
        return reach

    def _geometry(self, like: Tensor) -> tuple[Tensor, Tensor, float]:
        """Return half the image (2,), its centre from the photo's, and half the diagonal, in px."""
        (h, w), (height, width) = self.size, self.photo_size
        x, y = self.photo_offset
        half = constant([w / 2, h / 2], dtype=like.dtype, device=like.device)
        shift = constant([x + (w - width) / 2, y + (h - height) / 2], dtype=like.dtype, device=like.device)
        return half, shift, _half_diagonal(self.photo_size)


def _distorting_factor(k: Tensor, square: Tensor) -> tuple[Tensor, Tensor]:
    """Return distorted over undistorted radius at squared undistorted radii, and its validity.

    The root r of ``k u r^2 - r + u = 0`` that goes to u with k to 0, in the form that does not
    cancel.
    """
    inside = 1 - 4 * k * square
    exists = inside.detach() > eps_of(square.dtype)
    return 2 / (1 + torch.where(exists, inside, 1).sqrt()), exists


def _prepare(
    op: str, points: Tensor, distortion: Tensor, size: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, float]]:
    """Return offsets from the centre, k (..., 1), usable (..., N), and (centre, half diagonal)."""
    check_shapes(op, points=(points, "... N 2"), distortion=(distortion, "..."))
    check_floating(op, points=points, distortion=distortion)
    size = check_size(op, size)
    check_broadcast(op, points=points.shape[:-2], distortion=distortion.shape)
    dtype = solve_dtype(torch.promote_types(points.dtype, distortion.dtype))
    centre = constant([(size[1] - 1) / 2, (size[0] - 1) / 2], dtype=dtype, device=points.device)
    known = distortion.isfinite()[..., None]
    usable = points.isfinite().all(-1) & known
    offset = torch.where(usable[..., None], points, centre.to(points.dtype)).to(dtype) - centre
    k = torch.where(known, distortion[..., None], 0).to(dtype)
    return offset, k, usable, (centre, _half_diagonal(size))


def _half_diagonal(size: tuple[int, int]) -> float:
    # A symbolic size has no hypot.
    squares = size[0] * size[0] + size[1] * size[1]
    diagonal: float = squares**0.5 if torch.compiler.is_compiling() else math.hypot(*size)
    return diagonal / 2


def _finish(offset: Tensor, factor: Tensor, valid: Tensor, centre: Tensor, dtype: torch.dtype) -> TransformedPoints:
    moved = (centre + offset * factor[..., None]).to(dtype)
    valid = valid & moved.detach().isfinite().all(-1)
    return TransformedPoints(torch.where(valid[..., None], moved, 0), valid)
