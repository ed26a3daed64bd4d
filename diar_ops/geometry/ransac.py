"""Homographies from correspondences most of which may be wrong."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from diar_ops._checks import check_floating, check_option, check_shapes, widest_dtype
from diar_ops._errors import DtypeError
from diar_ops._types import HomographyEstimate, Reason
from diar_ops.geometry._ransac.evidence import (
    chance_probability,
    first_of_each,
    log_false_alarms,
    off_line_counts,
)
from diar_ops.geometry._ransac.refine import gauss_newton_step, newton_step
from diar_ops.geometry._ransac.score import depth_range
from diar_ops.geometry._ransac.search import search, source_monomials

__all__ = ["RansacHomography", "ransac_homography"]

#: Reach of the final refit, in thresholds, and its steps.
_FINAL_REACH = 1.5
_FINAL_STEPS = 4
#: log10 of the expected number of equally good fits to random pairs above which a fit is chance.
_MAX_LOG_FALSE_ALARMS = -3.0
#: Half the width of the band, in thresholds, within which points count as lying on a line, and how
#: many pairs propose a line.
_LINE_BAND = 2.0
_LINES = 32
#: Where a point that does not count is put, in units of the spread of the others.
_OUT_OF_REACH = 1e3


class _Prepared(NamedTuple):
    """Usable correspondences first, centred and scaled to unit spread."""

    src: Tensor  # (B, n, 2) in pixels, 0 beyond count
    dst: Tensor  # (B, n, 2)
    points: Tensor  # (B, 4, n) normalised, out of reach beyond count
    weight: Tensor  # (B, n), 0 beyond count
    usable: Tensor  # (B,)
    order: Tensor  # (B, n) index of each into the input
    src_mean: Tensor  # (B, 2)
    dst_mean: Tensor
    src_scale: Tensor  # (B,), multiplies pixels
    dst_scale: Tensor


def ransac_homography(
    points_src: Tensor,
    points_dst: Tensor,
    valid: Tensor | None = None,
    *,
    score: Tensor | None = None,
    weights: Tensor | None = None,
    threshold: float = 2.0,
    confidence: float = 0.999,
    max_iterations: int = 100_000,
    independence: float | None = None,
    generator: torch.Generator | None = None,
    differentiable: bool = False,
) -> HomographyEstimate:
    """Estimate homographies robustly from correspondences with outliers.

    Minimal samples whose triangles keep their orientation are solved in closed form, looked at
    with a few points, and the best are scored on all points by their truncated squared residuals
    (MSAC: Torr & Zisserman, MLESAC, CVIU 2000) and optimised locally (Chum, Matas & Kittler,
    Locally optimized RANSAC, DAGM 2003). An item stops as soon as a better sample is unlikely
    enough. The winner is refitted to the reprojection error in the destination under Tukey's
    biweight, and then has to show that its support is not chance (Moisan & Stival, IJCV 2004).

    The photos are assumed to show the plane from the same side: mirrored homographies, and such
    that put an inlier behind the camera, are never returned.

    Args:
        points_src: (B, N, 2) positions (x, y) in the source, floating point. Correspondences with
            a coordinate that is not finite are ignored.
        points_dst: (B, N, 2) positions (x, y) in the destination, in pixels.
        valid: Optional (B, N) bool; False marks correspondences to ignore, such as padding.
        score: Optional (B, N) quality of each correspondence, higher is better, any scale: every
            other sample prefers good ones. NaN counts as worst.
        weights: Optional (B, N) non-negative weights of the correspondences in the final refit.
        threshold: Largest reprojection error of an inlier, in pixels of the destination; about
            four times the standard deviation of a coordinate.
        confidence: Probability of having drawn a sample of inliers when an item stops, in (0, 1).
        max_iterations: Hypotheses per item at most; the default finds one inlier in ten.
        independence: Correspondences that agree to about this many pixels of the destination, in
            both images, count as one piece of evidence against chance. Set it to the width of the
            descriptors' windows for dense matches, whose neighbours see the same thing; ``None``
            is twice the threshold, for repeated keypoints.
        generator: Source of randomness. Without it a generator with a fixed seed is used: equal
            calls give equal results, and the global state is not touched.
        differentiable: Let gradients flow to the points and ``weights`` through the final refit.
            They are the exact derivative of the refitted minimum, by the implicit function
            theorem, with the set of correspondences within reach held fixed.

    Returns:
        :class:`HomographyEstimate` with ``homography`` being ``homography_dst_src``: ``dst ~ H @
        src``, ``det H = 1``, ``w > 0`` at the inliers, in the dtype of ``points_src``. Items
        without success hold the identity and no inliers; their ``reason`` is

        - ``TOO_FEW``: fewer than four usable correspondences,
        - ``NOT_FINITE``: correspondences are there, but not one is finite,
        - ``COLLINEAR``: what supports the homography lies on one line or in one point, but for
          correspondences that chance could have added,
        - ``CHANCE_LEVEL``: random correspondences would be expected to give such support. Exactly
          four correspondences always fit, and are chance level.

    Raises:
        ShapeError, DtypeError, DeviceError: The tensors do not fit together.
        OptionError: An option is out of range.
    """
    _check(points_src, points_dst, valid, score, weights)
    _check_options(threshold, confidence, max_iterations, independence)
    device = points_src.device
    if generator is None:
        generator = torch.Generator(device).manual_seed(0)
    # Drawn first: how much the search draws depends on the other items of the batch.
    draws = torch.rand(3, _LINES, generator=generator, device=generator.device).to(device)
    with torch.no_grad():
        data = _prepare(points_src.detach(), points_dst.detach(), valid, score, weights)
        found = search(
            data.points.to(torch.float32),
            data.usable,
            (threshold * data.dst_scale).to(torch.float32),
            confidence=confidence,
            max_iterations=max_iterations,
            ordered=score is not None,
            generator=generator,
        )
        reach = _FINAL_REACH * threshold * data.dst_scale
        h = _refit(found.homography.to(data.points.dtype), data, reach)
        homography, regular = _in_pixels(h, data)
        inside = _inliers(homography, data, threshold) & regular[:, None]
        offered = points_src.shape[1] > 0 if valid is None else valid.any(-1)
        reason = _judge(inside, data, threshold, independence or 2.0 * threshold, draws, offered)
        success = reason == Reason.OK
        inliers = torch.zeros(points_src.shape[:2], dtype=torch.bool, device=device)
        inliers = inliers.scatter(1, data.order, inside & success[:, None])
        identity = torch.eye(3, dtype=h.dtype, device=device)
        homography = torch.where(success[:, None, None], homography, identity)
    if differentiable:
        tracked = _prepare(points_src, points_dst, valid, score, weights)
        # The estimate does not depend on the coordinates that it is computed in.
        refitted = newton_step(
            torch.where(success[:, None], h, identity.flatten()),
            (tracked.src - data.src_mean[:, None]) * data.src_scale[:, None, None],
            (tracked.dst - data.dst_mean[:, None]) * data.dst_scale[:, None, None],
            tracked.weight * success[:, None],
            reach[:, None],
        )
        homography = torch.where(success[:, None, None], _in_pixels(refitted, data)[0], identity)
    return HomographyEstimate(
        homography.to(points_src.dtype), inliers, success, reason, found.drawn
    )


def _check(
    points_src: Tensor,
    points_dst: Tensor,
    valid: Tensor | None,
    score: Tensor | None,
    weights: Tensor | None,
) -> None:
    op = "ransac_homography"
    check_shapes(
        op,
        points_src=(points_src, "B N 2"),
        points_dst=(points_dst, "B N 2"),
        valid=(valid, "B N"),
        score=(score, "B N"),
        weights=(weights, "B N"),
    )
    check_floating(op, points_src=points_src, points_dst=points_dst, score=score, weights=weights)
    if valid is not None and valid.dtype != torch.bool:
        raise DtypeError(f"{op}: valid must be bool, got {valid.dtype}; for weights see weights=")


def _check_options(
    threshold: float, confidence: float, max_iterations: int, independence: float | None
) -> None:
    op = "ransac_homography"
    check_option(op, threshold > 0, "a positive threshold in pixels", threshold)
    check_option(op, 0 < confidence < 1, "a confidence in (0, 1)", confidence)
    check_option(
        op,
        isinstance(max_iterations, int) and max_iterations >= 1,
        "max_iterations of at least 1",
        max_iterations,
    )
    check_option(
        op,
        independence is None or independence > 0,
        "a positive independence in pixels, or None",
        independence,
    )


def _prepare(
    points_src: Tensor,
    points_dst: Tensor,
    valid: Tensor | None,
    score: Tensor | None,
    weights: Tensor | None,
) -> _Prepared:
    wide = widest_dtype(points_src.device)
    usable = (points_src.isfinite() & points_dst.isfinite()).all(-1)
    if valid is not None:
        usable = usable & valid
    count = usable.sum(-1)
    n = int(count.max()) if count.numel() else 0
    if score is None:
        # A stable partition, usable ones first, without the cost of sorting.
        place = torch.where(
            usable, usable.cumsum(-1) - 1, count[:, None] - 1 + (~usable).cumsum(-1)
        )
        numbers = torch.arange(usable.shape[1], device=usable.device).expand_as(place)
        order = torch.empty_like(place).scatter_(1, place, numbers)
    else:
        # No usable score may fall behind the unusable points, not even NaN or -inf.
        least = torch.finfo(score.dtype).min
        rated = score.detach().nan_to_num(least, neginf=least)
        order = torch.where(usable, rated, -torch.inf).argsort(dim=-1, descending=True, stable=True)
    order = order[:, :n]
    counts = torch.arange(n, device=order.device) < count[:, None]

    def collect(points: Tensor) -> Tensor:
        picked = points.gather(1, order[..., None].expand(-1, -1, 2))
        return torch.where(counts[..., None], picked, 0.0).to(wide)

    src, dst = collect(points_src), collect(points_dst)
    if weights is None:
        weight = counts.to(wide)
    else:
        picked = weights.gather(1, order)
        sound = counts & picked.isfinite() & (picked > 0)
        weight = torch.where(sound, picked, 0.0).to(wide)

    total = count.clamp_min(1).to(wide)

    def spread(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean = points.detach().sum(1) / total[:, None]
        centred = torch.where(counts[..., None], points.detach() - mean[:, None], 0.0)
        size = (centred.square().sum((1, 2)) / (2.0 * total)).sqrt()
        scale = torch.where((size > 0) & size.isfinite(), 1.0 / size, 1.0)
        return mean, scale, (centred * scale[:, None, None]).mT

    src_mean, src_scale, src_hat = spread(src)
    dst_mean, dst_scale, dst_hat = spread(dst)
    dst_hat = torch.where(counts[:, None], dst_hat, _OUT_OF_REACH)
    points = torch.cat([src_hat, dst_hat], 1)
    return _Prepared(
        src, dst, points, weight, count, order, src_mean, dst_mean, src_scale, dst_scale
    )


def _refit(h: Tensor, data: _Prepared, reach: Tensor) -> Tensor:
    """Return ``h`` (B, 9) at the minimum of the robust cost next to it, or as it was."""
    monomials = source_monomials(data.points)
    scale = reach[:, None, None]
    start = current = h[:, None]
    first = last = None
    for _ in range(_FINAL_STEPS + 1):
        previous = current
        current, last = gauss_newton_step(
            current, data.points, monomials, scale, data.points.dtype, data.weight[:, None]
        )
        first = last if first is None else first
    assert first is not None
    assert last is not None
    return torch.where((last <= first)[..., None], previous, start).squeeze(1)


def _in_pixels(h: Tensor, data: _Prepared) -> tuple[Tensor, Tensor]:
    """Return (B, 3, 3) in pixels with determinant 1, and where that exists."""
    h = h.reshape(-1, 3, 3)
    det = torch.linalg.det(h)
    regular = (det > 1e-12) & det.isfinite()
    linear = h[..., :2] * data.src_scale[:, None, None]
    last = h[..., 2] - (linear * data.src_mean[:, None]).sum(-1)
    h = torch.cat([linear, last[..., None]], -1)
    top = h[:, :2] / data.dst_scale[:, None, None] + data.dst_mean[..., None] * h[:, 2:]
    h = torch.cat([top, h[:, 2:]], 1)
    size = torch.where(regular, det * (data.src_scale / data.dst_scale) ** 2, 1.0) ** (1 / 3)
    return h / size[:, None, None], regular


def _inliers(homography: Tensor, data: _Prepared, threshold: float) -> Tensor:
    """Return (B, n), which correspondences agree with the homography."""
    projected = torch.baddbmm(homography[:, None, :, 2], data.src, homography[..., :2].mT)
    w = projected[..., 2]
    error = (projected[..., :2] / w[..., None] - data.dst).square().sum(-1)
    # det H = 1: the change of area is 1 / w^3, relative to the scale of the two sets.
    low, high = depth_range(homography.flatten(1))
    relative = ((data.dst_scale / data.src_scale) ** (2 / 3))[:, None]
    low, high = low * relative, high * relative
    counts = torch.arange(w.shape[1], device=w.device) < data.usable[:, None]
    return counts & (error < threshold**2) & (w > low) & (w < high)


def _judge(
    inside: Tensor,
    data: _Prepared,
    threshold: float,
    independence: float,
    draws: Tensor,
    offered: Tensor | bool,
) -> Tensor:
    """Return (B,) the :class:`Reason` of each item; ``offered`` where it had any input at all."""
    counts = torch.arange(inside.shape[1], device=inside.device) < data.usable[:, None]
    # Correspondences that say the same are one piece of evidence.
    src_cell = (independence * data.dst_scale / data.src_scale)[:, None, None]
    cells = torch.cat([data.src / src_cell, data.dst / independence], -1)
    first = first_of_each(cells, counts, inside)
    inside, counts = inside & first, counts & first
    support, number = inside.sum(-1), counts.sum(-1)
    chance = chance_probability(data.dst, data.usable, threshold)
    significant = log_false_alarms(number, support, chance) < _MAX_LOG_FALSE_ALARMS

    # Support that is significant must not hang on a line; without it, all usable points are asked.
    members = torch.where(significant[:, None], inside, counts)
    band = _LINE_BAND * threshold * torch.ones_like(data.dst_scale)
    on_line = torch.zeros_like(significant)
    for points, width in ((data.dst, band), (data.src, band * data.dst_scale / data.src_scale)):
        off, off_all = off_line_counts(points, members, counts, width, draws.to(points.dtype))
        # A line's image fixes five of eight parameters: one and a half pairs come for nothing.
        beyond = log_false_alarms(off_all, off, chance, free=1.5, sample=2)
        most = (off <= 1) | (off * 5 <= number)
        on_line = on_line | torch.where(significant, beyond >= _MAX_LOG_FALSE_ALARMS, most)

    reason = torch.full_like(data.usable, int(Reason.OK))
    reason = torch.where(significant, reason, int(Reason.CHANCE_LEVEL))
    reason = torch.where(on_line, int(Reason.COLLINEAR), reason)
    reason = torch.where(data.usable < 4, int(Reason.TOO_FEW), reason)
    return torch.where((data.usable == 0) & offered, int(Reason.NOT_FINITE), reason)


class RansacHomography(nn.Module):
    """Estimate homographies robustly. See :func:`ransac_homography`."""

    def __init__(
        self,
        *,
        threshold: float = 2.0,
        confidence: float = 0.999,
        max_iterations: int = 100_000,
        independence: float | None = None,
        differentiable: bool = False,
    ) -> None:
        super().__init__()
        _check_options(threshold, confidence, max_iterations, independence)
        self.threshold = threshold
        self.confidence = confidence
        self.max_iterations = max_iterations
        self.independence = independence
        self.differentiable = differentiable

    def forward(
        self,
        points_src: Tensor,
        points_dst: Tensor,
        valid: Tensor | None = None,
        *,
        score: Tensor | None = None,
        weights: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> HomographyEstimate:
        """Estimate homographies. See :func:`ransac_homography`."""
        return ransac_homography(
            points_src,
            points_dst,
            valid,
            score=score,
            weights=weights,
            threshold=self.threshold,
            confidence=self.confidence,
            max_iterations=self.max_iterations,
            independence=self.independence,
            generator=generator,
            differentiable=self.differentiable,
        )

    def extra_repr(self) -> str:
        """Return the options as ``name=value``."""
        return (
            f"threshold={self.threshold}, confidence={self.confidence}, "
            f"max_iterations={self.max_iterations}, independence={self.independence}, "
            f"differentiable={self.differentiable}"
        )
