"""Projection of the frames' points into the reference, with derivatives."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

#: Smallest depth, in units of that at the frame's centre, at which a point counts.
MIN_DEPTH = 0.05


class LensNormalization(NamedTuple):
    """The normalisation of undistorted coordinates, per frame: ``s = gain U + shift``.

    U is in units of half the diagonal, from the centre of the image.
    """

    gain: Tensor  # (F,)
    shift: Tensor  # (F, 2)


class LensJacobian(NamedTuple):
    """Undistorted positions, in units of half the diagonal, and their derivatives."""

    d: tuple[Tensor, Tensor]  # distorted position
    square: Tensor  # |d|^2
    factor: Tensor  # g = 1 / (1 + k square)
    outer: Tensor  # D = g I + outer d d^T, the derivative by d
    by_k: tuple[Tensor, Tensor]  # of the normalised position
    k: Tensor


class Projection(NamedTuple):
    """The matches of one frame of each pair, projected into the reference; (c, N) each."""

    x: Tensor  # normalised position in the frame
    y: Tensor
    qx: Tensor  # position in the reference
    qy: Tensor
    inverse_depth: Tensor  # 1 / w
    in_front: Tensor  # bool
    depth_slope: tuple[Tensor, Tensor]  # (c, 1) derivative of w by (x, y)
    jacobian: tuple[Tensor, Tensor, Tensor, Tensor]  # of q by (x, y)
    by_pixel: tuple[Tensor, Tensor, Tensor, Tensor]  # G, of q by pixels of the photo
    scale: Tensor  # (c, 1)
    lens: LensJacobian | None


def project(
    points: Tensor, index: Tensor, homography: Tensor, scale: Tensor, lens: LensNormalization | None, distortion: Tensor
) -> Projection:
    """Project points (c, 2, N) of frames ``index`` (c,) into the reference; see ``Pairs``."""
    x, y = points.unbind(1)
    scale = scale[index][:, None]
    lens_jacobian = None
    if lens is not None:
        k, gain = distortion[index][:, None], lens.gain[index][:, None]
        square = (x * x).addcmul_(y, y)
        factor = 1 / (1 + k * square)
        along = -gain * square * factor * factor
        lens_jacobian = LensJacobian(
            d=(x, y), square=square, factor=factor, outer=-2 * k * factor * factor, by_k=(along * x, along * y), k=k
        )
        shift = lens.shift[index]
        x = torch.addcmul(shift[:, :1], gain * factor, x)
        y = torch.addcmul(shift[:, 1:], gain * factor, y)
    h = homography[index].flatten(1)[..., None]  # [c, 9, 1]
    depth = torch.addcmul(h[:, 8], h[:, 6], x).addcmul_(h[:, 7], y)
    inverse = 1 / depth.clamp_min(MIN_DEPTH)
    qx = torch.addcmul(h[:, 2], h[:, 0], x).addcmul_(h[:, 1], y).mul_(inverse)
    qy = torch.addcmul(h[:, 5], h[:, 3], x).addcmul_(h[:, 4], y).mul_(inverse)
    jacobian = (
        torch.addcmul(h[:, 0], h[:, 6], qx, value=-1).mul_(inverse),
        torch.addcmul(h[:, 1], h[:, 7], qx, value=-1).mul_(inverse),
        torch.addcmul(h[:, 3], h[:, 6], qy, value=-1).mul_(inverse),
        torch.addcmul(h[:, 4], h[:, 7], qy, value=-1).mul_(inverse),
    )
    if lens_jacobian is None:
        by_pixel: tuple[Tensor, ...] = tuple(j * scale for j in jacobian)
    else:
        (dx, dy), g, o = (lens_jacobian.d, scale * lens_jacobian.factor, scale * lens_jacobian.outer)
        xx, xy, yy = (o * dx * dx).add_(g), o * dx * dy, (o * dy * dy).add_(g)
        ja, jb, jc, jd = jacobian
        by_pixel = (ja * xx + jb * xy, ja * xy + jb * yy, jc * xx + jd * xy, jc * xy + jd * yy)
    return Projection(
        x=x,
        y=y,
        qx=qx,
        qy=qy,
        inverse_depth=inverse,
        in_front=depth > MIN_DEPTH,
        depth_slope=(h[:, 6], h[:, 7]),
        jacobian=jacobian,
        by_pixel=by_pixel,  # type: ignore[arg-type]
        scale=scale,
        lens=lens_jacobian,
    )


def pixel_covariance(g: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Return G G^T by its entries xx, xy, yy: the covariance for unit noise of the pixels."""
    return ((g[0] * g[0]).addcmul_(g[1], g[1]), (g[0] * g[2]).addcmul_(g[1], g[3]), (g[2] * g[2]).addcmul_(g[3], g[3]))


def pixels_to_normalised(projection: Projection, ux: Tensor, uy: Tensor) -> tuple[Tensor, Tensor]:
    """Return the motion of the normalised position for a small one in pixels of the photo."""
    if projection.lens is None:
        return ux * projection.scale, uy * projection.scale
    (dx, dy), factor = projection.lens.d, projection.lens.factor
    radial, scale = projection.lens.outer * (dx * ux + dy * uy), projection.scale
    return scale * (factor * ux + radial * dx), scale * (factor * uy + radial * dy)
