"""What is expected of a displacement grid before any pixel is seen."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops.geometry._spline import EXTRA

#: Standard deviations: of the second derivative of the displacement, times the longer side; of the
#: displacement itself, and of its free part, in shares of the longer side.
_CURVATURE, _MAGNITUDE, _FREE = 1.0, 0.05, 0.1
#: Places along the longer side at which these are independent of each other.
_PLACES = 16
#: Squared second derivative, in variances, from which on more of it costs less and less.
_BREAK = 3.0


class Prior(NamedTuple):
    """The energy of one component's K control points, in px^-2 of a level, as it is at a given grid.

    Bending energy and squared length, both in units of their deviations. Where a grid bends far
    more than is expected it breaks: there the energy grows by the logarithm (Cauchy), and its
    weight is that of a reweighted square. What affine maps and given shapes say of the displacement is
    next to free.

    Attributes:
        down: Three matrices (n, rows + 3), differences along columns of control points.
        across: Three matrices (m, columns + 3), differences along rows of them; of each pair, down
            and across, the outer product is a second derivative in its deviations.
        length: Inverse variance of a control point.
        free: (K, F) displacements of control points that are next to free.
        loose: Inverse variance of their factors.
    """

    down: tuple[Tensor, Tensor, Tensor]
    across: tuple[Tensor, Tensor, Tensor]
    length: float
    free: Tensor
    loose: float

    @classmethod
    def over(
        cls, span: tuple[float, float], cells: tuple[int, int], smoothness: float, shapes: Tensor | None, like: Tensor
    ) -> Prior:
        """Return the prior of a grid of ``cells`` that spans ``span`` pixels.

        Args:
            span: (height, width).
            cells: (rows, columns).
            smoothness: Factor on the energy.
            shapes: (R, rows + 3, columns + 3) displacements that are next to free, in any unit.
            like: Dtype and device.
        """
        longest = max(span)
        step = [length / number for length, number in zip(span, cells, strict=True)]
        share = smoothness * _PLACES**2 * step[0] * step[1] / longest**2
        eye, first, second = [], [], []
        for number, pixels in zip(cells, step, strict=True):
            unit = torch.eye(number + EXTRA, dtype=like.dtype, device=like.device)
            eye.append(unit)
            first.append((unit[1:] - unit[:-1]) / pixels)
            second.append((unit[2:] - 2 * unit[1:-1] + unit[:-2]) / pixels**2)
        scale = share**0.5 * longest / _CURVATURE
        down = (scale * second[0], scale * 2**0.5 * first[0], scale * eye[0])
        free = monomials((cells[0] + EXTRA, cells[1] + EXTRA), 1, like)
        if shapes is not None:
            flat = shapes.detach().to(like).nan_to_num(0, 0, 0).flatten(1).mT
            free = torch.cat((free, flat / flat.square().mean(0).sqrt().clamp_min(1e-12)), -1)
        length = share / (_MAGNITUDE * longest) ** 2
        return cls(down, (eye[1], first[1], second[1]), length, free, 1 / (_FREE * longest) ** 2)

    def at(self, points: Tensor) -> Tensor:
        """Return (B, K, K), the energy's matrix at grids (B, 2, rows + 3, columns + 3)."""
        batch, _, rows, columns = points.shape
        energy = torch.eye(rows * columns, dtype=points.dtype, device=points.device) * self.length
        for down, across in zip(self.down, self.across, strict=True):
            bent = (down @ points @ across.mT).square().sum(1)
            weight = 1 / (1 + bent / _BREAK)  # [B, n, m]
            pairs = [(basis[:, :, None] * basis[:, None, :]).flatten(1) for basis in (down, across)]
            term = (pairs[0].mT @ weight @ pairs[1]).reshape(batch, rows, rows, columns, columns)
            energy = energy + term.transpose(2, 3).reshape(batch, rows * columns, rows * columns)
        # By the identity of Woodbury: the covariance of what is free is added to that of the rest.
        pull = energy @ self.free
        eye = torch.eye(self.free.shape[1], dtype=points.dtype, device=points.device)
        inner = self.free.mT @ pull + self.loose * eye
        left: Tensor = energy - pull @ torch.cholesky_solve(pull.mT, torch.linalg.cholesky_ex(inner).L)
        return left


def monomials(places: tuple[int, int], degree: int, like: Tensor) -> Tensor:
    """Return (rows * columns, F), the monomials up to a degree of places (rows, columns) from -1 to 1."""
    y, x = (torch.linspace(-1, 1, number, dtype=like.dtype, device=like.device) for number in places)
    x, y = x.repeat(len(y)), y.repeat_interleave(len(x))
    return torch.stack([x ** (total - k) * y**k for total in range(degree + 1) for k in range(total + 1)], -1)
