"""Homographies from correspondences most of which may be wrong."""

from __future__ import annotations

import torch
from torch import Tensor

from diar_ops._checks import check_floating, check_option, check_shapes, full_precision
from diar_ops._errors import DtypeError
from diar_ops._module import OpModule
from diar_ops._types import HomographyEstimate, Reason
from diar_ops.geometry._ransac.normalize import normalize_matches, to_pixels
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
    the first round (192, 1024, 4096, 8192 samples, and so on) after which a better sample is
    unlikely enough. The winner is refitted to the reprojection error in the destination under
    Tukey's biweight, and then has to show that its support is not chance (Moisan & Stival, IJCV
    2004).

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
    draws = torch.rand(3, LINE_PROPOSALS, generator=generator, dtype=torch.float32, device=generator.device)
    with torch.no_grad():
        data = normalize_matches(points_src.detach(), points_dst.detach(), valid, score, weights)
        best = search(
            data.points.to(torch.float32),
            data.number,
            (threshold * data.dst_scale).to(torch.float32),
            confidence=confidence,
            max_iterations=max_iterations,
            ordered=score is not None,
            generator=generator,
        )
        reach = _FINAL_REACH * threshold * data.dst_scale
        h = refit(best.homography.to(data.points.dtype), data, reach)
        homography, regular = to_pixels(h, data)
        support = find_inliers(homography, data, threshold) & regular[:, None]
        reason = judge_support(
            support,
            data,
            draws.to(device),
            threshold=threshold,
            independence=independence or 2.0 * threshold,
            has_input=points_src.shape[1] > 0 if valid is None else valid.any(-1),
        )
        success = reason == Reason.OK
        inliers = torch.zeros(points_src.shape[:2], dtype=torch.bool, device=device)
        inliers = inliers.scatter(1, data.order, support & success[:, None])
        identity = torch.eye(3, dtype=h.dtype, device=device)
        homography = torch.where(success[:, None, None], homography, identity)
    if differentiable:
        tracked = normalize_matches(points_src, points_dst, valid, score, weights)
        # The estimate does not depend on the coordinates that it is computed in.
        refitted = newton_step(
            torch.where(success[:, None], h, identity.flatten()),
            (tracked.src - data.src_mean[:, None]) * data.src_scale[:, None, None],
            (tracked.dst - data.dst_mean[:, None]) * data.dst_scale[:, None, None],
            tracked.weight * success[:, None],
            reach[:, None],
        )
        homography = torch.where(success[:, None, None], to_pixels(refitted, data)[0], identity)
    return HomographyEstimate(
        homography=homography.to(points_src.dtype),
        inliers=inliers,
        success=success,
        reason=reason,
        iterations=best.drawn,
    )


def _check(
    points_src: Tensor, points_dst: Tensor, valid: Tensor | None, score: Tensor | None, weights: Tensor | None
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


def _check_options(threshold: float, confidence: float, max_iterations: int, independence: float | None) -> None:
    op = "ransac_homography"
    check_option(op, threshold > 0, "a positive threshold in pixels", threshold)
    check_option(op, 0 < confidence < 1, "a confidence in (0, 1)", confidence)
    check_option(
        op, isinstance(max_iterations, int) and max_iterations >= 1, "max_iterations of at least 1", max_iterations
    )
    check_option(
        op, independence is None or independence > 0, "a positive independence in pixels, or None", independence
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
