"""All homographies of a sequence at once, from all its pairs."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from diar_ops._batching import register_batching
from diar_ops._checks import (
    check_bool,
    check_floating,
    check_option,
    check_shapes,
    full_precision,
    is_integer,
    is_number,
    widest_dtype,
)
from diar_ops._custom_op import custom_op
from diar_ops._errors import DtypeError, OptionError, ShapeError
from diar_ops._module import OpModule
from diar_ops._types import BundleAdjustment
from diar_ops.geometry._bundle.adjust import BundleOptions, adjust
from diar_ops.geometry._bundle.implicit import Minimum, attach_gradient
from diar_ops.geometry._bundle.prepare import Problem

DISTORTIONS = ("none", "shared")


@full_precision
def bundle_adjust_homographies(
    frames: Tensor,
    points0: Tensor,
    points1: Tensor,
    homography_reference_frame: Tensor,
    sizes: Tensor,
    valid: Tensor | None = None,
    weights: Tensor | None = None,
    *,
    reference: int | Tensor = 0,
    distortion: str = "none",
    scale: float | None = None,
    correlated: bool = True,
    max_iterations: int = 50,
) -> BundleAdjustment:
    """Adjust the homographies of all frames jointly to the matches of all pairs.

    A match is a position in frame i and one in frame j of the same point of the picture. The sum
    over all matches of a robust cost (Tukey's biweight) of their Sampson distance is minimised: the
    distance, in pixels of the photos, by which both positions must move for one point of the
    reference to explain them. It takes both frames alike, and unlike distances in the reference, it
    does not gain by shrinking frames. Frames that share nothing with the reference are reached
    through others.

    Levenberg-Marquardt with exact gradients starts from the given homographies and accepts only
    steps that lower the cost. The reach of the robust cost comes from the matches: wide for pairs
    that start badly, then six standard deviations of the noise. That is estimated for each pair
    from its small distances, less the share of wrong matches among them, which the density around
    tells. It holds with four of five matches wrong, and with pairs that are wrong altogether: those
    without a clear estimate take the noise of the others. Points behind the horizon of the
    reference do not count, and neither do frames without ``success``: where there are some, all
    starts again without their matches. All computation is in float64 (on MPS in float32), in
    coordinates that are normalised per frame.

    Homographies and distortion are differentiable with respect to points and weights: with the
    exact derivative of the minimum, by the implicit function theorem, for which the steps must have
    come to their end; the reach of the cost, the matches within it and the mean weight are held
    fixed. Homographies without success pass their gradient to what was given. The other outputs
    carry no gradient. A GPU waits at the end of each start, and every eighth step.

    Args:
        frames: (..., P, 2) int64, frames i and j of each pair, in any order. Pairs with an index
            outside 0 to T - 1 are padding; a pair of a frame with itself is ignored.
        points0: (..., P, N, 2) positions (x, y) in frame i, in pixels, floating point. Matches
            with a coordinate that is not finite or ten half diagonals from the photo are ignored.
        points1: (..., P, N, 2) positions in frame j.
        homography_reference_frame: (..., T, 3, 3) initial estimates, reference ~ H @ frame, off
            by no more than some tens of pixels. They are first multiplied by the inverse of the
            reference's own, which becomes the identity.
        sizes: (..., T, 2) height and width of the frames, in pixels, integers or floating point.
        valid: Optional (..., P, N) bool; False marks padding and matches that are known as wrong.
        weights: Optional (..., P, N) weights of the matches' costs, relative to each other. Those
            that are not positive and finite leave a match out.
        reference: Index of the reference frame, or (...) int64.
        distortion: ``"none"``, or ``"shared"``: also estimate the coefficient k of
            :func:`undistort_points` that all frames share. The homographies then lead from
            undistorted to undistorted coordinates. Views that differ by little more than a
            shift hardly determine k, and ``distortion_sigma`` is large.
        scale: Standard deviation of a coordinate of a right match, in pixels. ``None`` finds it.
        correlated: Neighbouring matches of a real pair err alike. Then pairs disagree by more than
            the scatter of their matches explains; the covariance is multiplied by that excess
            (``disagreement``), which needs more pairs than a chain has. False treats all
            matches as independent.
        max_iterations: Steps at most, tried ones included, each time that all starts; 0 only judges
            the initial estimates.

    Returns:
        :class:`BundleAdjustment`; floating point in the dtype of ``homography_reference_frame``.
        ``success`` is False for frames that are not tied to the reference by pairs with at
        least four matches that agree, whose matches lie on a line, or whose corners are known to
        no better than 5 % of half the reference's diagonal. They keep the homography that they came
        with, digit for digit and not multiplied by anything (the identity if it is singular or not
        finite), and the others are what they would be without them.

    Raises:
        ShapeError, DtypeError, DeviceError: The tensors do not fit together.
        OptionError: An option is outside its values.

    Source: Hartley and Zisserman, Multiple View Geometry, 2nd ed., sections 4.2.6 (Sampson
    distance), 4.4.4 (normalisation), A6.3 (sparse Levenberg-Marquardt).

    Example:
        >>> points = 200 * torch.rand(40, 2, generator=torch.Generator().manual_seed(0))
        >>> moves = torch.tensor([[0.0, 0.0], [10.0, 5.0], [20.0, -5.0]])  # from frame to reference
        >>> frames = torch.tensor([[0, 1], [1, 2]])  # frame 1 ties frame 2 to the reference
        >>> points0, points1 = (points - moves[frames[:, i], None] for i in (0, 1))
        >>> start, sizes = torch.eye(3).repeat(3, 1, 1), torch.full((3, 2), 200)
        >>> adjusted = bundle_adjust_homographies(frames, points0, points1, start, sizes)
        >>> adjusted.homography[:, :2, 2].round(decimals=2)
        tensor([[ 0.,  0.],
                [10.,  5.],
                [20., -5.]])
    """
    leading = _check(frames, points0, points1, homography_reference_frame, sizes, valid, weights)
    _check_options(distortion, scale, correlated, max_iterations)
    reference_index = _reference(reference, leading, homography_reference_frame.shape[-3], frames.device)
    with_lens = distortion == "shared"

    def flat(x: Tensor) -> Tensor:
        return x.reshape(math.prod(leading), *x.shape[len(leading) :])

    if valid is None:
        valid = torch.ones_like(points0[..., 0], dtype=torch.bool)
    problem = Problem(
        frames=flat(frames),
        points0=flat(points0),
        points1=flat(points1),
        initial=flat(homography_reference_frame),
        sizes=flat(sizes),
        valid=flat(valid),
        weights=None if weights is None else flat(weights),
        reference=reference_index,
    )
    constants = (None if x is None else x.detach() for x in problem)
    *found, reach, mean_weight = _adjust(*constants, with_lens, scale, correlated, max_iterations)
    result = BundleAdjustment(*found)
    inputs = (points0, points1, homography_reference_frame, weights)
    if torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in inputs):
        minimum = Minimum(result.homography, result.distortion, result.success, result.inliers, reach, mean_weight)
        homography, k = attach_gradient(problem, minimum, with_lens=with_lens)
        result = result._replace(homography=homography, distortion=k)
    dtype = homography_reference_frame.dtype
    return BundleAdjustment(
        *((x.to(dtype) if x.is_floating_point() else x).reshape((*leading, *x.shape[1:])) for x in result)
    )


@custom_op(
    "bundle_adjust_homographies",
    schema="(Tensor frames, Tensor points0, Tensor points1, Tensor initial, Tensor sizes, Tensor valid, "
    "Tensor? weights, Tensor reference, bool with_lens, float? scale, bool correlated, int max_iterations) -> "
    f"({', '.join(['Tensor'] * 13)})",
)
def _adjust(
    frames: Tensor,
    points0: Tensor,
    points1: Tensor,
    initial: Tensor,
    sizes: Tensor,
    valid: Tensor,
    weights: Tensor | None,
    reference: Tensor,
    with_lens: bool,
    scale: float | None,
    correlated: bool,
    max_iterations: int,
) -> tuple[Tensor, ...]:
    """Adjust; one operation for ``torch.compile`` and ``vmap``. See :func:`adjust`."""
    problem = Problem(frames, points0, points1, initial, sizes, valid, weights, reference)
    options = BundleOptions(with_lens=with_lens, scale=scale, correlated=correlated, max_iterations=max_iterations)
    result, reach, mean_weight = adjust(problem, options)
    return tuple(x.clone() for x in (*result, reach, mean_weight))  # outputs must not share memory


@_adjust.register_fake
def _adjust_fake(frames: Tensor, points0: Tensor, points1: Tensor, initial: Tensor, *others: Any) -> tuple[Tensor, ...]:
    batch, count = initial.shape[:2]
    pairs, number = points0.shape[1:3]
    wide = widest_dtype(initial.device)

    def empty(*shape: int, dtype: torch.dtype = wide) -> Tensor:
        return initial.new_empty((batch, *shape), dtype=dtype)

    result = BundleAdjustment(
        homography=empty(count, 3, 3),
        covariance=empty(count, 8, 8),
        corner_sigma=empty(count, 4),
        residual_scale=empty(count),
        success=empty(count, dtype=torch.bool),
        inliers=empty(pairs, number, dtype=torch.bool),
        distortion=empty(),
        distortion_sigma=empty(),
        disagreement=empty(),
        cost=empty(),
        iterations=empty(dtype=torch.int64),
    )
    return *result, empty(pairs), empty()


register_batching(_adjust)


def _check(
    frames: Tensor,
    points0: Tensor,
    points1: Tensor,
    homography: Tensor,
    sizes: Tensor,
    valid: Tensor | None,
    weights: Tensor | None,
) -> tuple[int, ...]:
    """Check the tensors and return their leading sizes."""
    op = "bundle_adjust_homographies"
    bound = check_shapes(
        op,
        frames=(frames, "... P 2"),
        points0=(points0, "... P N 2"),
        points1=(points1, "... P N 2"),
        homography_reference_frame=(homography, "... T 3 3"),
        sizes=(sizes, "... T 2"),
        valid=(valid, "? ... P N"),
        weights=(weights, "? ... P N"),
    )
    check_floating(op, points0=points0, points1=points1, homography_reference_frame=homography, weights=weights)
    check_bool(op, valid=valid)
    if frames.dtype != torch.int64:
        raise DtypeError(f"{op}: frames must be int64, got {frames.dtype}")
    if bound["T"] == 0:
        raise ShapeError(f"{op}: expected at least one frame, got {list(homography.shape)}")
    leading = tuple(homography.shape[:-3])
    for name, x, own in (
        ("frames", frames, 2),
        ("points0", points0, 3),
        ("points1", points1, 3),
        ("sizes", sizes, 2),
        ("valid", valid, 2),
        ("weights", weights, 2),
    ):
        if x is not None and tuple(x.shape[: x.dim() - own]) != leading:
            raise ShapeError(
                f"{op}: {name} must have the leading sizes {list(leading)} of "
                f"homography_reference_frame, got {list(x.shape)}"
            )
    return leading


def _check_options(distortion: str, scale: float | None, correlated: bool, max_iterations: int) -> None:
    op = "bundle_adjust_homographies"
    expected = f"distortion to be one of {', '.join(DISTORTIONS)}"
    check_option(op, distortion in DISTORTIONS, expected, distortion)
    check_option(op, scale is None or (is_number(scale) and scale > 0), "a positive scale in pixels, or None", scale)
    check_option(op, isinstance(correlated, bool), "correlated to be True or False", correlated)
    check_option(op, is_integer(max_iterations) and max_iterations >= 0, "max_iterations of at least 0", max_iterations)


def _reference(reference: int | Tensor, leading: tuple[int, ...], count: int, device: torch.device) -> Tensor:
    """Return the reference (B,) of every item."""
    op = "bundle_adjust_homographies"
    if isinstance(reference, Tensor):
        if reference.dtype != torch.int64 or tuple(reference.shape) != leading:
            raise ShapeError(
                f"{op}: reference must be an int or int64 of shape {list(leading)}, got "
                f"{reference.dtype} of {list(reference.shape)}"
            )
        return reference.reshape(-1).clamp(0, count - 1)
    if not (is_integer(reference) and 0 <= reference < count):  # a symbolic count cannot be printed
        raise OptionError(f"{op}: expected reference to be a frame from 0 to {count - 1}, got {reference!r}")
    return torch.full((math.prod(leading),), reference, dtype=torch.int64, device=device)


class BundleAdjustHomographies(OpModule):
    """Adjust homographies jointly. See :func:`bundle_adjust_homographies`."""

    def __init__(
        self, *, distortion: str = "none", scale: float | None = None, correlated: bool = True, max_iterations: int = 50
    ) -> None:
        super().__init__()
        _check_options(distortion, scale, correlated, max_iterations)
        self.distortion = distortion
        self.scale = scale
        self.correlated = correlated
        self.max_iterations = max_iterations

    def forward(
        self,
        frames: Tensor,
        points0: Tensor,
        points1: Tensor,
        homography_reference_frame: Tensor,
        sizes: Tensor,
        valid: Tensor | None = None,
        weights: Tensor | None = None,
        *,
        reference: int | Tensor = 0,
    ) -> BundleAdjustment:
        """Adjust with the stored options."""
        return bundle_adjust_homographies(
            frames,
            points0,
            points1,
            homography_reference_frame,
            sizes,
            valid,
            weights,
            reference=reference,
            distortion=self.distortion,
            scale=self.scale,
            correlated=self.correlated,
            max_iterations=self.max_iterations,
        )
