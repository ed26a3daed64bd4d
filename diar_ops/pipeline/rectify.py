"""How a picture is seen frontally: alone, with its true proportions, or as the photos' views tell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._checks import check_option, check_shapes
from diar_ops._errors import DiarError
from diar_ops._types import Alignment, Canvas, FrontalView, Reason, Rectification
from diar_ops.geometry import frontal_homography, rectify_homography
from diar_ops.pipeline.canvas import largest_canvas

#: Pixels of a rectified picture, at most, as a multiple of the reference's, or of its own there.
_MOST_PIXELS = 2.0


class RectifiedCanvas(NamedTuple):
    """A canvas that holds the picture alone, frontally.

    Attributes:
        canvas: The canvas; whole pixels, so that its proportion is that of the picture to half of one.
        rectification: What is known of the picture, B = 1, see :func:`rectify_homography`.
    """

    canvas: Canvas
    rectification: Rectification


def rectified_canvas(
    corners: Tensor,
    alignment: Alignment,
    sizes: Sequence[tuple[int, int]],
    *,
    focal: Sequence[float | None] | None = None,
) -> RectifiedCanvas:
    """Return the canvas that shows the rectangle with some corners frontally, and nothing else.

    All aligned photos tell its proportions (:func:`rectify_homography`). They count as taken with
    one focal length where those that are known say so, and with one each otherwise.

    Args:
        corners: (4, 2) in pixels of the reference, clockwise from the top-left one, such as
            :attr:`Outline.corners`.
        alignment: Of the photos.
        sizes: (height, width) of the T photos.
        focal: Focal length of each photo, in shares of its diagonal; ``None`` where it is not known.

    Returns:
        :class:`RectifiedCanvas`, on the CPU in float64. No side of the picture is shorter than in the
        reference, unless that took more than twice the pixels that the reference has, or the picture in it.

    Raises:
        DiarError: The corners are not those of a rectangle that a camera saw.
        ShapeError, OptionError: The arguments do not fit together.

    Example:
        >>> alignment = Alignment.from_homographies(torch.eye(3).repeat(2, 1, 1), [(120, 160)] * 2)
        >>> corners = torch.tensor([[19.5, 9.5], [119.5, 9.5], [119.5, 59.5], [19.5, 59.5]])
        >>> rectified_canvas(corners, alignment, [(120, 160)] * 2).canvas.size
        (50, 100)
    """
    op = "rectified_canvas"
    check_shapes(op, corners=(corners, "4 2"))
    size = alignment.size
    views, own, shared = _views(op, alignment, sizes, focal)
    found = rectify_homography(corners.to("cpu", torch.float64)[None], views, own, size=size, shared_focal=shared)
    if not bool(found.success[0]):
        raise DiarError(f"{op}: {_WHY[Reason(int(found.reason[0]))]}")
    extent = found.size[0]
    used = [sizes[t] for t in alignment.success.nonzero().flatten().tolist()]
    # What goes beyond the reference, in photos of parts, may have as many pixels as it has there.
    shown = min(_area(corners.double()), largest_canvas(used)) if used else 0
    shrunk = min(1.0, math.sqrt(_MOST_PIXELS * max(size[0] * size[1], shown) / float(extent.prod())))
    height, width = (max(1, round(side)) for side in (extent * shrunk).tolist())
    whole = torch.eye(3, dtype=torch.float64)
    for axis, (new, old) in enumerate(((width, float(extent[1])), (height, float(extent[0])))):
        whole[axis, axis], whole[axis, 2] = new / old, 0.5 * new / old - 0.5
    return RectifiedCanvas(Canvas(whole @ found.homography[0], (height, width)), found)


def _area(corners: Tensor) -> float:
    """Return the area of a polygon (N, 2)."""
    after = corners.roll(-1, 0)
    return abs(float((corners[:, 0] * after[:, 1] - corners[:, 1] * after[:, 0]).sum())) / 2


def frontal_view(
    alignment: Alignment, sizes: Sequence[tuple[int, int]], *, focal: Sequence[float | None] | None = None
) -> FrontalView:
    """Return how the picture is seen frontally, as far as the aligned photos tell, whatever it shows.

    Args:
        alignment: Of the photos.
        sizes: (height, width) of the T photos.
        focal: Focal length of each photo, in shares of its diagonal; ``None`` where it is not
            known. They count as in :func:`rectified_canvas`.

    Returns:
        Of :func:`frontal_homography`, B = 1, on the CPU in float64: ``homography`` maps pixels of
        the reference, as ``mosaic_canvas(homography_view_reference=)`` takes it. Photos that were
        all taken in one direction tell nothing: then ``sigma`` is large.

    Raises:
        OptionError: The arguments do not fit together.

    Example:
        >>> alignment = Alignment.from_homographies(torch.eye(3).repeat(2, 1, 1), [(120, 160)] * 2)
        >>> bool(frontal_view(alignment, [(120, 160)] * 2).sigma < 0.1)  # the same view twice
        False
    """
    views, own, shared = _views("frontal_view", alignment, sizes, focal)
    if views is None:
        views = torch.empty(1, 0, 3, 3, dtype=torch.float64)
    return frontal_homography(views, own, size=alignment.size, shared_focal=shared)


def _views(
    op: str, alignment: Alignment, sizes: Sequence[tuple[int, int]], focal: Sequence[float | None] | None
) -> tuple[Tensor | None, Tensor, bool]:
    """Return other views (1, V, 3, 3), the focal length (1,) of the reference in pixels, and whether all have it."""
    check_option(op, len(sizes) == len(alignment.success), f"{len(alignment.success)} sizes", len(sizes))
    reference, size = alignment.reference, alignment.size
    used = [t for t in alignment.success.nonzero().flatten().tolist() if t != reference]
    views = [_as_in_reference(sizes[t], size) @ torch.linalg.inv(_double(alignment, t)) for t in used]
    known = [None] * len(sizes) if focal is None else list(focal)
    own = known[reference]
    alike = {known[t] for t in (*used, reference)}
    length = torch.tensor([math.nan if own is None else own * math.hypot(*size)], dtype=torch.float64)
    return torch.stack(views)[None] if views else None, length, len(alike) == 1 and own is not None


_WHY = {
    Reason.COLLINEAR: "expected the corners of a convex quadrilateral, got some that lie on one line or turn inwards; "
    "give them in the order around the picture",
    Reason.NOT_FINITE: "expected corners that are finite numbers, got some that are not",
}


def _double(alignment: Alignment, frame: int) -> Tensor:
    return alignment.homography_reference_frame[frame].to("cpu", torch.float64)


def _as_in_reference(size: tuple[int, int], reference: tuple[int, int]) -> Tensor:
    """Return the (3, 3) map of a photo's pixels that lays its middle over the reference's, and makes it as large."""
    scale = math.hypot(*reference) / math.hypot(*size)
    shift = [(b - 1) / 2 - scale * (a - 1) / 2 for a, b in zip(size[::-1], reference[::-1], strict=True)]
    return torch.tensor([[scale, 0, shift[0]], [0, scale, shift[1]], [0, 0, 1]], dtype=torch.float64)
