"""A first grid by trying displacements: Gauss-Newton finds only what is a pixel or two away."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops._boxes import box_sum
from diar_ops.geometry._refine_grid.solve import GridFrame, solve_step
from diar_ops.geometry._spline import EXTRA

#: Longest displacement that is tried on the coarsest level, in shares of the longer side; and on the
#: one below it, in pixels.
_REACH, _NEAR = 0.1, 3
#: Side of the windows that are compared, and distance of their centres, in pixels of the level.
_WINDOW, _STRIDE = 9, 3
#: First pixel that is the centre of a window.
_MIDDLE = _STRIDE // 2
#: Variance of the displacement of one window, in px^2, the overlap of windows included.
_VARIANCE = 0.03
#: Distance from the grid, in pixels, at which a displacement's correlation counts one less; and at
#: which a window's weight is a quarter: by rounds.
_TRUST = (100.0, 12.0, 6.0, 4.0, 3.0, 3.0)
_FAR = (100.0, 4.0, 2.0, 1.5, 1.0, 1.0)
#: By how much the mean correlation must rise.
_MARGIN = 0.005


def _windows(planes: Tensor) -> Tensor:
    """Return the sums over the windows of (B, S, h, w), (B, S, n)."""
    rows, columns = (side // _STRIDE for side in planes.shape[-2:])
    sums = F.avg_pool2d(planes, _WINDOW, _STRIDE, _WINDOW // 2 - _MIDDLE) * _WINDOW**2
    return sums[..., :rows, :columns].flatten(2)


class CostVolume:
    """Correlations of the windows of two feature images under displacements of whole pixels.

    Args:
        moving: (B, F, h, w).
        moving_valid: (B, 1, h, w) bool.
        fixed: (B or 1, F, h, w).
        fixed_valid: (B or 1, 1, h, w) bool.
        far: Whether this is the coarsest level.
    """

    def __init__(
        self, moving: Tensor, moving_valid: Tensor, fixed: Tensor, fixed_valid: Tensor, *, far: bool = True
    ) -> None:
        batch, _, h, w = moving.shape
        self.size = (h, w)
        reach = max(_NEAR, round(_REACH * max(h, w))) if far else _NEAR
        side = 2 * reach + 1
        steps = torch.arange(-reach, reach + 1, dtype=moving.dtype, device=moving.device)
        self.shifts = torch.stack((steps.repeat(side), steps.repeat_interleave(side)), -1)  # [S, 2]
        moving, fixed = moving * moving_valid, fixed * fixed_valid

        def displaced(image: Tensor) -> Tensor:
            return F.unfold(image, side, padding=reach).reshape(batch, side * side, h, w)

        product = sum(
            _windows(displaced(one[:, None]) * two[:, None])
            for one, two in zip(moving.unbind(1), fixed.unbind(1), strict=True)
        )
        # Sums over a window at its displaced place: hidden pixels are zeros in either image.
        planes = torch.cat((moving.square().sum(1, keepdim=True), moving_valid.to(moving.dtype)), 1)
        own, seen = (
            displaced(plane)[..., _MIDDLE::_STRIDE, _MIDDLE::_STRIDE] for plane in box_sum(planes, _WINDOW).chunk(2, 1)
        )
        own, seen = (plane[..., : h // _STRIDE, : w // _STRIDE].flatten(2) for plane in (own, seen))
        other, seen_too = (
            _windows(plane) for plane in (fixed.square().sum(1, keepdim=True), fixed_valid.to(moving.dtype))
        )
        #: (B, S, n); 0 where a window is mostly hidden.
        shown = torch.minimum(seen, seen_too) > _WINDOW**2 / 2
        self.correlation = torch.where(shown, product / (own * other).clamp_min(1e-12).sqrt(), 0)
        self.texture = other[:, 0]

    def fit(self, start: Tensor, span: tuple[float, float], smoothness: float, shapes: Tensor | None = None) -> Tensor:
        """Return grids (B, 2, rows + 3, columns + 3) in pixels of the level; ``start`` where they fit no better.

        Windows choose their displacement, the grid is laid through them, and draws them to itself
        more and more.

        Args:
            start: The grids under which the moving image was warped, like those that return.
            span: (height, width) of the grids, in pixels.
            smoothness: Factor on the prior.
            shapes: (R, rows + 3, columns + 3) that are next to free.
        """
        cells = (start.shape[-2] - EXTRA, start.shape[-1] - EXTRA)
        frame = GridFrame.over(
            self.size, span, cells, smoothness, self.correlation.device, shapes=shapes, block=_STRIDE
        )
        points = start = start.to(frame.by_row)
        eye = torch.eye(2, dtype=points.dtype, device=points.device)
        for trust, far in zip(_TRUST, _FAR, strict=True):
            here = frame.at(points - start)  # [B, n, 2]
            best, correlation = self._choose(here, trust)
            off = best - here
            weight = correlation.clamp_min(0).square() / (1 + (off / far).square().sum(-1)).square() / _VARIANCE
            points = points + solve_step(weight[..., None, None] * eye, weight[..., None] * off, points, frame)
        gain = self._score(frame.at(points - start)) - self._score(frame.at(start - start))
        return torch.where((gain > _MARGIN)[:, None, None, None], points, start)

    def _choose(self, here: Tensor, trust: float) -> tuple[Tensor, Tensor]:
        """Return each window's best displacement near ``here`` (B, n, 2), and its correlation."""
        away = (here.to(self.shifts)[:, None] - self.shifts[:, None]).square().sum(-1)  # [B, S, n]
        best = (self.correlation - away / trust**2).argmax(1)
        correlation = self.correlation.gather(1, best[:, None])[:, 0]
        return self.shifts[best].to(here), correlation.to(here)

    def _score(self, here: Tensor) -> Tensor:
        """Return (B,), the mean correlation of the windows near ``here`` by their texture."""
        near = (here.to(self.shifts)[:, None] - self.shifts[:, None]).abs().amax(-1) <= 0.5
        found = torch.where(near, self.correlation, 0).amax(1)
        return (found * self.texture).sum(1) / self.texture.sum(1).clamp_min(1e-12)
