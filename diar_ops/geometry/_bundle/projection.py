"""Points of frames laid in the reference, with their derivatives."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["MIN_DEPTH", "Bend", "Lens", "Side", "lay", "squared_image", "to_normalised"]

#: Smallest depth, in units of that at the frame's centre, at which a point has a say.
MIN_DEPTH = 0.05


class Lens(NamedTuple):
    """How undistorted coordinates become normalised ones, per frame: ``s = gain U + shift``.

    U is in units of half the diagonal, from the centre of the image.
    """

    gain: Tensor  # (F,)
    shift: Tensor  # (F, 2)


class Bend(NamedTuple):
    """Derivatives of undistorted positions, in units of half the diagonal."""

    d: tuple[Tensor, Tensor]
    square: Tensor
    factor: Tensor  # g = 1 / (1 + k square)
    outer: Tensor  # D = g I + outer d d^T, the derivative by d
    by_k: tuple[Tensor, Tensor]  # of the normalised position
    k: Tensor


class Side(NamedTuple):
    """The matches' positions in one frame of each pair, (c, N) each, and where they lie."""

    x: Tensor
    y: Tensor
    qx: Tensor
    qy: Tensor
    inverse: Tensor  # 1 / w
    front: Tensor
    m: tuple[Tensor, Tensor]  # (c, 1) derivative of w
    jacobian: tuple[Tensor, Tensor, Tensor, Tensor]  # of q by (x, y)
    image: tuple[Tensor, Tensor, Tensor, Tensor]  # G, of q by pixels
    scale: Tensor  # (c, 1)
    bend: Bend | None


def lay(
    points: Tensor,
    index: Tensor,
    homography: Tensor,
    scale: Tensor,
    lens: Lens | None,
    lens_k: Tensor,
) -> Side:
    """Lay points (c, 2, N) of frames ``index`` (c,) in the reference; see ``Pairs``."""
    x, y = points.unbind(1)
    scale = scale[index][:, None]
    bend = None
    if lens is not None:
        k, gain = lens_k[index][:, None], lens.gain[index][:, None]
        square = (x * x).addcmul_(y, y)
        factor = 1 / (1 + k * square)
        along = -gain * square * factor * factor
        bend = Bend((x, y), square, factor, -2 * k * factor * factor, (along * x, along * y), k)
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
    if bend is None:
        image = tuple(j * scale for j in jacobian)
    else:
        (dx, dy), g, o = bend.d, scale * bend.factor, scale * bend.outer
        xx, xy, yy = (o * dx * dx).add_(g), o * dx * dy, (o * dy * dy).add_(g)
        ja, jb, jc, jd = jacobian
        image = (ja * xx + jb * xy, ja * xy + jb * yy, jc * xx + jd * xy, jc * xy + jd * yy)
    m = (h[:, 6], h[:, 7])
    front = depth > MIN_DEPTH
    return Side(x, y, qx, qy, inverse, front, m, jacobian, image, scale, bend)  # type: ignore[arg-type]


def squared_image(g: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Return G G^T as its entries xx, xy, yy."""
    return (
        (g[0] * g[0]).addcmul_(g[1], g[1]),
        (g[0] * g[2]).addcmul_(g[1], g[3]),
        (g[2] * g[2]).addcmul_(g[3], g[3]),
    )


def to_normalised(side: Side, ux: Tensor, uy: Tensor) -> tuple[Tensor, Tensor]:
    """Return a small motion in pixels of the photo as one of the normalised position."""
    if side.bend is None:
        return ux * side.scale, uy * side.scale
    (dx, dy), factor = side.bend.d, side.bend.factor
    radial = side.bend.outer * (dx * ux + dy * uy)
    return side.scale * (factor * ux + radial * dx), side.scale * (factor * uy + radial * dy)
