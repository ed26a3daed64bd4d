"""Homographies from correspondences most of which may be wrong."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from diar_ops._batching import register_batching
from diar_ops._checks import (
    check_floating,
    check_generator,
    check_option,
    check_shapes,
    full_precision,
    is_integer,
    is_number,
    widest_dtype,
)
from diar_ops._custom_op import custom_op
from diar_ops._errors import DtypeError
from diar_ops._module import OpModule
from diar_ops._types import HomographyEstimate, Reason
from diar_ops.geometry._ransac.normalize import Unit, normalize_matches, to_pixels
from diar_ops.geometry._ransac.refine import newton_step, refit
from diar_ops.geometry._ransac.search import search
from diar_ops.geometry._ransac.significance import LINE_PROPOSALS, find_inliers, judge_support

#: Reach of the final refit, in thresholds.
_FINAL_REACH = 1.5


@full_precision
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
    Locally optimized RANSAC, DAGM 2003). An item stops at the end of
    the first round (1024, 2048, 4096, 8192 samples, and so on) after which a better sample is
    unlikely enough. Where the first round does not suffice, some samples of the others (every
    second, after 8192 or with ``score`` every fourth) prefer correspondences whose neighbours in
    both images agree (after Leordeanu & Hebert, A spectral technique for correspondence problems,
    ICCV 2005). What they find ends the search, too, once it is more than chance and eight times as
    many guided samples are drawn as find inliers of its weight: of two planes, the one whose
    correspondences are sparse may then be missed.

    The winner is refitted to the reprojection error in the destination under Tukey's biweight, and
    then has to show that its support is not chance (Moisan & Stival, IJCV 2004).

    A few correspondences that lie absurdly far from all others cost nothing but themselves. A GPU
    waits once a round.

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
        generator: Source of randomness, on the device of the points. Without it a generator with a
            fixed seed is used: equal calls give equal results, and the global state is not touched.
            Under ``vmap`` all items draw the same numbers, as in a batch, whatever its
            ``randomness`` says. ``torch.compile`` breaks its graph around a call with a generator.
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

    Example:
        >>> points_src = 100 * torch.rand(1, 40, 2, generator=torch.Generator().manual_seed(0))
        >>> points_dst = points_src + torch.tensor([5.0, -3.0])
        >>> points_dst[:, :10] = points_dst[:, :10].flip(-1)  # ten wrong matches
        >>> estimate = ransac_homography(points_src, points_dst)
        >>> estimate.success, estimate.inliers.sum(-1)
        (tensor([True]), tensor([30]))
        >>> point = torch.tensor([[20.0, 10.0]])
        >>> transform_points(point, estimate.homography).points.round(decimals=2)
        tensor([[[25.,  7.]]])
    """
    _check(points_src, points_dst, valid, score, weights, generator)
    _check_options(threshold, confidence, max_iterations, independence)
    detached = (x if x is None else x.detach() for x in (points_src, points_dst, valid, score, weights))
    h, homography, inliers, reason, drawn, *means_and_scales = _estimate(
        *detached, threshold, confidence, max_iterations, independence or 2.0 * threshold, generator
    )
    success = (reason == int(Reason.OK))[:, None, None]  # dynamo compares no IntEnum
    if differentiable:
        unit, wide = Unit(*means_and_scales), h.dtype
        usable = (points_src.isfinite() & points_dst.isfinite()).all(-1)
        usable = usable if valid is None else usable & valid
        weight = usable.to(wide)
        if weights is not None:
            positive = usable & weights.isfinite() & (weights > 0)
            weight = torch.where(positive, weights, 0.0).to(wide)
        src, dst = (torch.where(usable[..., None], x, 0.0).to(wide) for x in (points_src, points_dst))
        identity = torch.eye(3, dtype=wide, device=h.device)
        # The estimate does not depend on the coordinates that it is computed in.
        refitted = newton_step(
            torch.where(success[..., 0], h, identity.flatten()),
            (src - unit.src_mean[:, None]) * unit.src_scale[:, None, None],
            (dst - unit.dst_mean[:, None]) * unit.dst_scale[:, None, None],
            weight * success[..., 0],
            _FINAL_REACH * threshold * unit.dst_scale[:, None],
        )
        homography = torch.where(success, to_pixels(refitted, unit)[0], identity)
    return HomographyEstimate(
        homography=homography.to(points_src.dtype),
        inliers=inliers,
        success=success[:, 0, 0],
        reason=reason,
        iterations=drawn,
    )


@custom_op(
    "ransac_homography",
    schema="(Tensor points_src, Tensor points_dst, Tensor? valid, Tensor? score, Tensor? weights, float threshold, "
    "float confidence, int max_iterations, float independence, Generator? generator) -> "
    "(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
)
def _estimate(
    points_src: Tensor,
    points_dst: Tensor,
    valid: Tensor | None,
    score: Tensor | None,
    weights: Tensor | None,
    threshold: float,
    confidence: float,
    max_iterations: int,
    independence: float,
    generator: torch.Generator | None,
) -> tuple[Tensor, ...]:
    """Search, refit and judge; one operation for ``torch.compile`` and ``vmap``.

    Returns:
        The homographies (B, 9) in the unit of the search, and (B, 3, 3) in pixels, the identity
        without success; inliers (B, N), reason (B,), samples drawn (B,), and the :class:`Unit`.
    """
    device = points_src.device
    if generator is None:
        generator = torch.Generator(device).manual_seed(0)
    # Drawn first: how much the search draws depends on the other items of the batch.
    draws = torch.rand(3, LINE_PROPOSALS, generator=generator, dtype=torch.float32, device=generator.device)
    draws = draws.to(device)
    data = normalize_matches(points_src, points_dst, valid, score, weights)
    judge = partial(judge_support, draws=draws, threshold=threshold, independence=independence)
    best = search(
        data.points.to(torch.float32),
        data.number,
        (threshold * data.unit.dst_scale).to(torch.float32),
        confidence=confidence,
        max_iterations=max_iterations,
        ordered=score is not None,
        is_success=lambda support, items: judge(support, data.items(items), has_input=True) == Reason.OK,
        generator=generator,
    )
    reach = _FINAL_REACH * threshold * data.unit.dst_scale
    h = refit(best.homography.to(data.points.dtype), data, reach)
    homography, regular = to_pixels(h, data.unit)
    support = find_inliers(homography, data, threshold) & regular[:, None]
    reason = judge(support, data, has_input=points_src.shape[1] > 0 if valid is None else valid.any(-1))
    success = reason == Reason.OK
    inliers = torch.zeros(points_src.shape[:2], dtype=torch.bool, device=device)
    inliers = inliers.scatter(1, data.order, support & success[:, None])
    identity = torch.eye(3, dtype=h.dtype, device=device)
    homography = torch.where(success[:, None, None], homography, identity)
    return h, homography, inliers, reason, best.drawn, *(x.clone() for x in data.unit)


@_estimate.register_fake
def _estimate_fake(points_src: Tensor, points_dst: Tensor, *options: Any) -> tuple[Tensor, ...]:
    batch, number = points_src.shape[:2]
    wide = points_src.new_empty(batch, dtype=widest_dtype(points_src.device))
    counts = wide.new_empty(batch, dtype=torch.int64)
    inliers = wide.new_empty((batch, number), dtype=torch.bool)
    matrices = wide.new_empty(batch, 9), wide.new_empty(batch, 3, 3)
    unit = Unit(wide.new_empty(batch, 2), wide.new_empty(batch, 2), wide, torch.empty_like(wide))
    return *matrices, inliers, counts, torch.empty_like(counts), *unit


register_batching(_estimate)


def _check(
    points_src: Tensor,
    points_dst: Tensor,
    valid: Tensor | None,
    score: Tensor | None,
    weights: Tensor | None,
    generator: torch.Generator | None,
) -> None:
    op = "ransac_homography"
    check_shapes(
        op,
        points_src=(points_src, "B N 2"),
        points_dst=(points_dst, "B N 2"),
        valid=(valid, "? B N"),
        score=(score, "? B N"),
        weights=(weights, "? B N"),
    )
    check_floating(op, points_src=points_src, points_dst=points_dst, score=score, weights=weights)
    check_generator(op, generator)
    if valid is not None and valid.dtype != torch.bool:
        raise DtypeError(f"{op}: valid must be bool, got {valid.dtype}; for weights see weights=")


def _check_options(threshold: float, confidence: float, max_iterations: int, independence: float | None) -> None:
    op = "ransac_homography"
    check_option(op, is_number(threshold) and threshold > 0, "a positive threshold in pixels", threshold)
    check_option(op, is_number(confidence) and 0 < confidence < 1, "a confidence in (0, 1)", confidence)
    check_option(op, is_integer(max_iterations) and max_iterations >= 1, "max_iterations of at least 1", max_iterations)
    check_option(
        op,
        independence is None or (is_number(independence) and independence > 0),
        "a positive independence in pixels, or None",
        independence,
    )


class RansacHomography(OpModule):
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
