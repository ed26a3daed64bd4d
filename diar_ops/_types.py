"""What passes between the ops: NamedTuples of plain tensors, fixed-size and masked, never ragged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import register_pytree_node

from diar_ops._checks import check_bool, check_floating, check_option, check_shapes, check_size


class Reason(IntEnum):
    """Outcome of an estimation: OK, or the reason why a homography or a frame was refused."""

    OK = 0
    #: Fewer than four usable correspondences.
    TOO_FEW = 1
    #: The correspondences lie on one line or in one point: infinitely many homographies fit.
    COLLINEAR = 2
    #: No more support than random correspondences would give.
    CHANCE_LEVEL = 3
    #: No usable correspondence is finite, or the numbers broke down in the solver.
    NOT_FINITE = 4
    #: A frame fits other frames of its sequence, but none that leads to the reference.
    UNCONNECTED = 5
    #: No camera makes the homography: the horizon crosses the photo, or it is seen far too steeply.
    IMPLAUSIBLE = 6
    #: Points agree on a place, but the pixels of the photos do not look alike there.
    PIXELS_DISAGREE = 7
    #: What a photo shows repeats itself: it fits in several places, and nothing tells which is right.
    AMBIGUOUS = 8

    @property
    def explanation(self) -> str:
        """Explanation in one sentence for a person with photos."""
        return _EXPLANATIONS[self]


_EXPLANATIONS = {
    Reason.OK: "It was aligned.",
    Reason.TOO_FEW: "Too few points of this photo were recognised in the others.",
    Reason.COLLINEAR: (
        "The points that were recognised lie on one line or in one spot, which does not fix the perspective."
    ),
    Reason.CHANCE_LEVEL: (
        "No more points agree with the other photos than chance would give: it may show "
        "something else, or too little of the picture."
    ),
    Reason.NOT_FINITE: "It holds values that are not numbers.",
    Reason.UNCONNECTED: ("It fits some of the other photos, but none of them leads to the reference photo."),
    Reason.IMPLAUSIBLE: "The place that its points suggest is one that no camera could have taken it from.",
    Reason.PIXELS_DISAGREE: (
        "Its points suggest a place, but too little of the photo looks like the others there: it may show "
        "something similar, or be mostly hidden, mirrored or blurred."
    ),
    Reason.AMBIGUOUS: (
        "It fits in more than one place, as windows of a facade or tiles do, and nothing that it shows tells which "
        "is right: a photo that shows more, such as a border, helps."
    ),
}


T = TypeVar("T")


def children_of_pytree(*names: str) -> Callable[[type[T]], type[T]]:
    """Register a dataclass as a node of torch's pytrees: fields of these names, where not ``None``, are children.

    So ``torch.func.vmap``, ``torch.compile`` and ``torch.export`` take and return its tensors with
    its numbers, where a tuple of tensors and numbers would be refused.
    """

    def register(cls: type[T]) -> type[T]:
        def flatten(value: T) -> tuple[list[Any], dict[str, Any]]:
            # Not by type: a pytree holds anything in the place of a tensor, such as its dimension.
            context = {field.name: getattr(value, field.name) for field in fields(value)}  # type: ignore[arg-type]
            present = [name for name in names if context[name] is not None]
            return [context.pop(name) for name in present], context | {"present": present}

        def unflatten(children: Iterable[Any], context: dict[str, Any]) -> T:
            rest = {name: value for name, value in context.items() if name != "present"}
            return cls(**dict(zip(context["present"], children, strict=True)), **rest)

        register_pytree_node(cls, flatten, unflatten, serialized_type_name=f"diar_ops.{cls.__name__}")
        return cls

    return register


@children_of_pytree("descriptors", "valid")
@dataclass(frozen=True, eq=False)
class FeatureMap:
    """Dense descriptors and the exact pixel position of every cell.

    ``dataclasses.replace`` changes a field; to torch's pytrees only the tensors are children.

    Cell ``(i, j)`` (row, column) is centred at pixel
    ``x = offset[0] + stride[0] * j``, ``y = offset[1] + stride[1] * i``
    of the full-resolution image, with the centre of its top-left pixel at (0, 0).

    Attributes:
        descriptors: (B, C, h, w) floating point.
        stride: Distance of neighbouring cells (x, y), in pixels.
        offset: Position (x, y) of cell (0, 0), in pixels.
        valid: Optional (B, h, w) bool; False marks cells that must not be matched.
    """

    descriptors: Tensor
    stride: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)
    valid: Tensor | None = None


class Matches(NamedTuple):
    """Correspondences between two images, padded to a fixed size.

    Attributes:
        points0: (B, N, 2) positions (x, y) in image 0, in pixels.
        points1: (B, N, 2) positions (x, y) in image 1, in pixels; finite everywhere.
        score: (B, N) similarity of each pair, differentiable; 0 where ``valid`` is False.
        valid: (B, N) bool; False marks padding and cells without a match.
    """

    points0: Tensor
    points1: Tensor
    score: Tensor
    valid: Tensor


class HomographyEstimate(NamedTuple):
    """Robustly estimated homographies and their support.

    A failed item holds the identity, never NaN.

    Attributes:
        homography: (B, 3, 3), direction as the op's docstring states.
        inliers: (B, N) bool, support among the input correspondences.
        success: (B,) bool.
        reason: (B,) int64 holding :class:`Reason` values.
        iterations: (B,) int64, hypotheses drawn.
    """

    homography: Tensor
    inliers: Tensor
    success: Tensor
    reason: Tensor
    iterations: Tensor


class RefinedHomography(NamedTuple):
    """Homographies refined on the pixels of two images, and their accuracy.

    Attributes:
        homography: (B, 3, 3), direction as the op's docstring states, H[2, 2] = 1 where that
            exists; the initial one without success, the identity if that is singular or not finite.
        success: (B,) bool; False where the initial estimate is unusable, fits better than the
            refined one, or where hardly anything agrees.
        agreement: (B,) share of the texture of both images, weighted by its strength, that
            agrees; in [0, 1]. Two unrelated images have less than 0.1.
        residual_scale: (B,) standard deviation of a coordinate of the residual motion between
            small blocks that agree, in pixels of the destination; inf without success.
        corner_sigma: (B, 4) root of the mean squared distance of four points of the destination
            from their true positions, in pixels, from the scatter of the blocks; inf without
            success. They are the corners of the box around what both images show (top left, top
            right, bottom right, bottom left).
        matches: :class:`Matches` of blocks of 6 x 6 pixels of the destination, ``points0`` in the
            source and ``points1`` in the destination, where they agree.
        iterations: (B,) int64, steps on all levels.
    """

    homography: Tensor
    success: Tensor
    agreement: Tensor
    residual_scale: Tensor
    corner_sigma: Tensor
    matches: Matches
    iterations: Tensor


class ProportionSource(IntEnum):
    """What told the proportions of a rectangle."""

    #: Its corners alone: it is seen almost frontally, or its vanishing points told the focal length.
    CORNERS = 0
    #: The focal length that was given.
    FOCAL = 1
    #: Several views of its plane.
    VIEWS = 2


class Rectification(NamedTuple):
    """Frontal views of rectangles.

    Attributes:
        homography: (B, 3, 3) ``homography_rectified_image``, rectified ~ H @ image, both in pixels,
            ``|det H| = 1``, w > 0 on the rectangle. It spans (-0.5, -0.5) to
            (width - 0.5, height - 0.5) of the rectified view.
        size: (B, 2) its (height, width) there: the smallest at which no side of the rectangle is
            shorter than in the image; not rounded. 0 without success.
        proportion: (B,) width / height; 1 without success.
        proportion_sigma: (B,) standard deviation of its logarithm, which is the relative one where
            it is small; larger where the views contradict each other. Infinite without success.
        focal: (B,) focal length of the image that explains the views best, in pixels; where nothing
            tells it, that of a usual camera. 0 without success.
        source: (B,) int64 holding :class:`ProportionSource` values.
        success: (B,) bool.
        reason: (B,) int64 holding :class:`Reason` values.
    """

    homography: Tensor
    size: Tensor
    proportion: Tensor
    proportion_sigma: Tensor
    focal: Tensor
    source: Tensor
    success: Tensor
    reason: Tensor


class FrontalView(NamedTuple):
    """Frontal views of planes.

    Attributes:
        homography: (B, 3, 3) ``homography_frontal_image``, frontal ~ H @ image, both in pixels,
            ``|det H| = 1``. The principal point keeps its place, and its neighbourhood its size;
            the image is turned as little as can be. The identity without success.
        tilt: (B,) angle between the optical axis and the plane's normal, in radians.
        sigma: (B,) standard deviation of the normal's direction where it is least certain, in
            radians; as large as the angle to a second normal that explains the views as well.
            Infinite without success.
        focal: (B,) focal length of the image that explains the views best, in pixels; where nothing
            tells it, that of a usual camera. 0 without success.
        success: (B,) bool.
        reason: (B,) int64 holding :class:`Reason` values.
    """

    homography: Tensor
    tilt: Tensor
    sigma: Tensor
    focal: Tensor
    success: Tensor
    reason: Tensor


class RefinedGrid(NamedTuple):
    """Smooth displacements that remain between two images after a homography, and what they rest on.

    Attributes:
        grid: (B, 2, rows + 3, columns + 3) control points of the displacements (x, y), in pixels
            of the destination, as :func:`warp_homography` takes them; zeros without success.
        certainty: (B, rows, columns) in [0, 1]: 1 / (1 + v), where v is the variance, in px^2,
            with which the pixels of a cell alone fix its displacement along the direction that
            they know less of; 0 where nothing agrees.
        success: (B,) bool; False where the homography alone does as well.
        shift: (B,) root of the mean squared displacement that two halves of the pixels agree on,
            over the blocks that agree, in pixels of the destination; whatever ``success`` is.
        reliability: (B,) correlation of the displacements that the two halves find, -1 to 1:
            near 0 where there is none, near 1 where the pixels fix it.
        residual: (B,) root of the median squared residual motion of squares of 18 pixels where
            both images agree, in pixels of the destination; inf where they hardly do.
        residual_before: (B,) that of the same squares under the homography alone.
        agreement: (B,) share of the texture of both images, weighted by its strength, that
            agrees; in [0, 1]; under the homography alone without success.
        iterations: (B,) int64, steps on all levels.
    """

    grid: Tensor
    certainty: Tensor
    success: Tensor
    shift: Tensor
    reliability: Tensor
    residual: Tensor
    residual_before: Tensor
    agreement: Tensor
    iterations: Tensor


class BundleAdjustment(NamedTuple):
    """Homographies of all frames of a sequence, adjusted jointly, with their uncertainty.

    Attributes:
        homography: (..., T, 3, 3) ``homography_reference_frame``, reference ~ H @ frame, in pixels
            (undistorted ones, where a distortion is estimated), H[2, 2] = 1 where that exists; the
            identity for the reference; without success, what was given.
        covariance: (..., T, 8, 8) of the frame's corners in the reference, in px^2: x and y of
            the centres of the corner pixels, in the order top left, top right, bottom right, bottom
            left. Of the reference itself it is 0 but for the lens. Its diagonal is inf without
            success.
        corner_sigma: (..., T, 4) root of the mean squared distance of each corner from its true
            position, in pixels of the reference: the root of two variances' sum.
        residual_scale: (..., T) standard deviation of a coordinate of a right match in the pairs of
            the frame, in pixels of the photos; inf for frames without a match that agrees.
        success: (..., T) bool.
        inliers: (..., P, N) bool, matches that agree: those within reach of the robust cost, in
            pairs of frames with success.
        distortion: (...) coefficient k of the lens; 0 where none is estimated.
        distortion_sigma: (...) its standard deviation; 0 where none is estimated.
        disagreement: (...) at least 1: factor by which the variance between the pairs exceeds
            that of independent matches.
        cost: (...) mean robust cost of a match: 0 if all agree exactly, 1 if none does. Those of
            frames that failed count 1.
        iterations: (...) int64, steps tried, those before frames were left out included.
    """

    homography: Tensor
    covariance: Tensor
    corner_sigma: Tensor
    residual_scale: Tensor
    success: Tensor
    inliers: Tensor
    distortion: Tensor
    distortion_sigma: Tensor
    disagreement: Tensor
    cost: Tensor
    iterations: Tensor


class Warped(NamedTuple):
    """A resampled image and its validity.

    Attributes:
        image: (B, C, H, W); 0 where ``valid`` is False.
        valid: (B, 1, H, W) bool; True where the sample lies inside the source and in front of
            the horizon.
    """

    image: Tensor
    valid: Tensor


class PairMatches(NamedTuple):
    """Matched and verified pairs of frames of one sequence.

    Attributes:
        frames: (P, 2) int64, frames ``i`` and ``j`` of each pair.
        matches: :class:`Matches` with B = P: ``points0`` in frame ``i``, ``points1`` in frame
            ``j``, in full-resolution pixels of the frames.
        estimate: :class:`HomographyEstimate` with B = P, ``homography`` being
            ``homography_j_i``: frame ``j`` ~ H @ frame ``i``.
    """

    frames: Tensor
    matches: Matches
    estimate: HomographyEstimate


class Alignment(NamedTuple):
    """Homographies of the frames of one sequence into its reference frame.

    Attributes:
        homography_reference_frame: (T, 3, 3), reference ~ H @ frame, in full-resolution pixels
            (undistorted ones, where a lens was found); the identity for the reference and for
            frames that could not be aligned.
        success: (T,) bool; True for the reference itself, unless it is not finite.
        reason: (T,) int64 holding :class:`Reason` values.
        inliers: (T,) int64, verified correspondences that tie the frame to the others.
        overlap: (T,) share of the reference's area that the frame shows, in [0, 1].
        reference: Index of the reference frame.
        size: (height, width) of the reference frame.
        spread: (T, 5) quantiles (5, 25, 50, 75 and 95 %) of the distance between each frame's
            finely matched points, warped to the reference, and their partners there, in pixels of
            the reference, over the points that agree, before all frames are adjusted jointly;
            NaN for the reference and failed frames. Single points scatter; a homography through
            thousands of them is far more exact.
        pairs: The pairs of frames that were matched.
        distortion: Coefficient k of the lens that all frames share, see :func:`undistort_points`;
            each is distorted around its own centre, by k times half of its diagonal at the
            corners. 0 where no lens was requested, or none was found.
        distortion_sigma: Its standard deviation; 0 where no lens was requested, infinite where no
            frame was aligned, so that nothing determines it.
        grid: Optional (T, 2, rows + 3, columns + 3) float32, control points of the smooth
            displacements by which frames that are not quite flat move against their homography,
            in pixels of the reference over the whole of it, as :func:`warp_homography` takes them;
            zeros for the reference itself, and for frames that their homography explains. ``None``
            where no frame has any.
    """

    homography_reference_frame: Tensor
    success: Tensor
    reason: Tensor
    inliers: Tensor
    overlap: Tensor
    reference: int
    size: tuple[int, int]
    spread: Tensor
    pairs: PairMatches
    distortion: float = 0.0
    distortion_sigma: float = 0.0
    grid: Tensor | None = None

    @classmethod
    def from_homographies(
        cls,
        homography_reference_frame: Tensor,
        sizes: Sequence[tuple[int, int]],
        *,
        reference: int = 0,
        success: Tensor | None = None,
    ) -> Alignment:
        """Make an alignment of homographies from elsewhere, taken as they are.

        Args:
            homography_reference_frame: (T, 3, 3) floating point, reference ~ H @ frame, in pixels.
            sizes: (height, width) of the T frames.
            reference: Index of the reference frame.
            success: (T,) bool, which frames are aligned; ``None``: those whose homography is finite.

        Returns:
            The alignment, on the CPU, homographies in float64. ``overlap`` is counted on a grid of
            64 x 64 points; nothing is known of inliers, spread and pairs: 0, NaN, none.

        Raises:
            ShapeError, DtypeError: The tensors do not fit together.
            OptionError: ``sizes`` or ``reference`` do not fit the frames.
        """
        op = "Alignment.from_homographies"
        check_shapes(op, homography_reference_frame=(homography_reference_frame, "T 3 3"), success=(success, "? T"))
        check_floating(op, homography_reference_frame=homography_reference_frame)
        check_bool(op, success=success)
        H = homography_reference_frame.detach().to("cpu", torch.float64)
        count = len(H)
        check_option(op, len(sizes) == count, f"{count} sizes", len(sizes))
        for size in sizes:
            check_size(op, size)
        fits = isinstance(reference, int) and 0 <= reference < count
        check_option(op, fits, f"reference to be a frame from 0 to {count - 1}", reference)
        known = H.isfinite().all(-1).all(-1)
        aligned = known if success is None else known & success.cpu()
        eye = torch.eye(3, dtype=torch.float64)
        H = torch.where(aligned[:, None, None], H, eye)
        overlap = torch.stack([_overlap(matrix, size, sizes[reference]) for matrix, size in zip(H, sizes, strict=True)])
        none = torch.zeros(0, dtype=torch.int64)
        matches = Matches(torch.zeros(0, 1, 2), torch.zeros(0, 1, 2), torch.zeros(0, 1), torch.zeros(0, 1).bool())
        estimate = HomographyEstimate(eye.expand(0, 3, 3), matches.valid, none.bool(), none, none)
        return cls(
            homography_reference_frame=H,
            success=aligned,
            reason=torch.where(
                aligned, int(Reason.OK), torch.where(known, int(Reason.UNCONNECTED), int(Reason.NOT_FINITE))
            ),
            inliers=torch.zeros(count, dtype=torch.int64),
            overlap=torch.where(aligned, overlap, 0.0),
            reference=reference,
            size=(sizes[reference][0], sizes[reference][1]),
            spread=torch.full((count, 5), torch.nan, dtype=torch.float32),
            pairs=PairMatches(torch.zeros(0, 2, dtype=torch.int64), matches, estimate),
        )


def _overlap(homography_reference_frame: Tensor, size: tuple[int, int], reference: tuple[int, int]) -> Tensor:
    """Return the share of a reference of (height, width) that a frame shows, in float32."""
    y, x = ((torch.arange(64, dtype=torch.float64) + 0.5) * n / 64 - 0.5 for n in reference)
    points = torch.stack([x.expand(64, 64), y[:, None].expand(64, 64), torch.ones(64, 64, dtype=torch.float64)], -1)
    mapped = points @ torch.linalg.inv(homography_reference_frame).mT
    position = mapped[..., :2] / mapped[..., 2:]
    limit = torch.tensor([size[1] - 0.5, size[0] - 0.5], dtype=torch.float64)
    shown = ((position >= -0.5) & (position <= limit)).all(-1) & (mapped[..., 2] > 0)
    share: Tensor = shown.double().mean().float()
    return share


class Canvas(NamedTuple):
    """What a picture is made on: a rectangle of the plane, as seen from anywhere.

    Attributes:
        homography_canvas_reference: (3, 3) floating point, canvas ~ H @ reference, in pixels,
            undistorted ones, where a lens was found; its scale and sign do not matter.
        size: (height, width) of the canvas.
    """

    homography_canvas_reference: Tensor
    size: tuple[int, int]


class Reconstruction(NamedTuple):
    """The clean picture and the share of each frame in it.

    Attributes:
        image: (3, H, W) in [0, 1], in the coordinates of the reference, or of the canvas.
        coverage: (1, H, W) int64, number of frames that show the pixel; where it is 0 the image
            is black.
        weights: (T, 1, H, W) share of each frame in each pixel; sums to 1 over T where
            ``coverage > 0``; 0 for frames that were left out. ``None`` from aggregators that do not
            tell which frame gave what.
        gain: (T, 3) factor per frame and channel (R, G, B) that was applied in linear light; of
            factors that vary over the picture, the geometric mean. 1 for frames left out.
    """

    image: Tensor
    coverage: Tensor
    weights: Tensor | None
    gain: Tensor


class WholeFrames(NamedTuple):
    """Small copies of whole frames, beside a part of them that a network works on.

    Light and shadow are larger than a part. A network that is given a window of a large picture
    learns from the small copies what the window is part of.

    Attributes:
        frames: (B, T, 3, h, w) sRGB in [0, 1], the whole frames, reduced.
        valid: (B, T, 1, h, w) bool.
        window: (B, 4) floating point: top, left, bottom and right edge of the part, in shares of
            the whole: (0, 0, 1, 1) is all of it.
    """

    frames: Tensor
    valid: Tensor
    window: Tensor


class Restored(NamedTuple):
    """The output of a network for aligned frames.

    Attributes:
        image: (B, 3, H, W) sRGB in [0, 1], the clean picture; 0 where no frame is valid.
        weights: (B, T, 1, H, W) share of each frame in each pixel, which sums to 1 over T where a
            frame is valid; ``None`` from networks that do not know it.
        gain: (B, T, 3, h, w) log of the factor on ``value + 0.055`` that brings a frame to the
            picture's light, 2.4 times it in linear light; smooth over the whole frames. ``None``
            from networks that do not know it.
        veil: (B, T, 3, h, w) light that is subtracted after the factor, likewise.
    """

    image: Tensor
    weights: Tensor | None = None
    gain: Tensor | None = None
    veil: Tensor | None = None
