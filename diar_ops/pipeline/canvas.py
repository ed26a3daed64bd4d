"""What a picture is made on: the reference, or a canvas of its own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._checks import check_floating, check_option, check_shapes, check_size
from diar_ops._errors import DiarError
from diar_ops._pixels import resize_matrix
from diar_ops._types import Alignment, Canvas
from diar_ops.pipeline._lens import Lens

#: Points of a photo that the canvas shows more than so many times as large, along a side, are left out:
#: towards the horizon it would have no end.
MOST_ENLARGED = 4.0
#: A canvas has at most so many times the pixels of all photos together, and times photos so many:
#: their weights take half a gigabyte for each 2^28.
MOST_PIXELS_OF_PHOTOS, MOST_WEIGHTS = 4.0, 2**30
#: Points of a photo along a side.
_POINTS = 33


class Mosaic(NamedTuple):
    """A canvas that holds all photos, and what had to be given up for its size.

    Attributes:
        canvas: The canvas.
        shrunk: Pixels of the canvas per pixel of the view; 1 unless it would be too large.
        cut: Photos of which the canvas leaves out what lies towards the horizon.
    """

    canvas: Canvas
    shrunk: float
    cut: list[int]


def mosaic_canvas(
    alignment: Alignment,
    sizes: Sequence[tuple[int, int]],
    *,
    homography_view_reference: Tensor | None = None,
    most_pixels: int | None = None,
) -> Mosaic:
    """Find the canvas that holds all aligned photos.

    Args:
        alignment: Of the photos.
        sizes: (height, width) of the photos.
        homography_view_reference: (3, 3), view ~ H @ reference: how the canvas looks at the picture,
            such as frontally; ``None``: as the reference does.
        most_pixels: Of the canvas; ``None``: four times as many as all photos have, and 2^30 divided
            by their number.

    Returns:
        :class:`Mosaic`; its canvas begins and ends at whole pixels of the view.

    Raises:
        DiarError: No photo is aligned.
        OptionError: ``most_pixels`` is below 1.

    Example:
        >>> H = torch.eye(3).repeat(2, 1, 1)
        >>> H[1, 0, 2] = 60.0  # to the right of the first one
        >>> alignment = Alignment.from_homographies(H, [(64, 80)] * 2)
        >>> mosaic_canvas(alignment, [(64, 80)] * 2).canvas.size
        (64, 140)
    """
    op = "mosaic_canvas"
    used = alignment.success.nonzero().flatten().tolist()
    check_option(op, most_pixels is None or most_pixels >= 1, "most_pixels >= 1", most_pixels)
    if not used:
        raise DiarError(f"{op}: no photo is aligned")
    eye = torch.eye(3, dtype=torch.float64)
    view = eye if homography_view_reference is None else homography_view_reference.to("cpu", torch.float64)
    lens = Lens(alignment.distortion, list(sizes))
    places, cut = [], []
    for t in used:
        points, near = _places(view @ alignment.homography_reference_frame[t].to(eye), t, lens)
        places.append(points[near])
        if not bool(near.all()):
            cut.append(t)
    # Edges of pixels, and to the thousandth: what is as large as the reference has no rim of a pixel.
    found = torch.cat(places)
    low, high = ((found.amin(0) + 0.501).floor(), (found.amax(0) - 0.501).ceil())
    width, height = (high - low).long().add(1).tolist()
    size, shift = (height, width), eye.clone()
    shift[:2, 2] = -low
    most = largest_canvas(sizes[t] for t in used) if most_pixels is None else most_pixels
    shrunk = min(1.0, math.sqrt(most / (height * width)))
    if shrunk < 1:
        size = (max(1, int(height * shrunk)), max(1, int(width * shrunk)))
        shift = resize_matrix((height, width), size) @ shift
    return Mosaic(Canvas(shift @ view, size), shrunk, cut)


def largest_canvas(sizes: Iterable[tuple[int, int]]) -> int:
    """Return how many pixels a canvas may have that holds photos of some (height, width)."""
    pixels = [height * width for height, width in sizes]
    return int(min(MOST_PIXELS_OF_PHOTOS * sum(pixels), MOST_WEIGHTS / len(pixels)))


def _places(homography_view_frame: Tensor, frame: int, lens: Lens) -> tuple[Tensor, Tensor]:
    """Return where the view shows points of a photo's pixel area (N, 2), and which are not too large there."""
    x, y = (torch.linspace(-0.5, n - 0.5, _POINTS, dtype=torch.float64) for n in reversed(lens.sizes[frame]))
    points = lens.undistort(torch.cartesian_prod(x, y), frame).points
    H = homography_view_frame
    middle = torch.tensor([(n - 1) / 2 for n in reversed(lens.sizes[frame])] + [1.0], dtype=torch.float64)
    w = torch.cat((points, torch.ones_like(points[:, :1])), -1) @ H[2] * torch.sign(H[2] @ middle)
    enlarged = torch.linalg.det(H).abs() / w.clamp_min(1e-12) ** 3
    seen = points @ H[:2, :2].mT + H[:2, 2]
    return seen / (points @ H[2, :2] + H[2, 2])[:, None], (w > 0) & (enlarged <= MOST_ENLARGED**2)


def check_canvas(op: str, canvas: Canvas | None, alignment: Alignment) -> Canvas | None:
    """Return a canvas on the CPU after checking it; ``None`` if it is the reference itself.

    Raises:
        ShapeError, DtypeError: Its homography is none.
        OptionError: It has no pixels, or its homography is singular.
    """
    if canvas is None:
        return None
    check_option(op, isinstance(canvas, Canvas), "canvas: Canvas", type(canvas).__name__)
    check_shapes(op, **{"canvas.homography_canvas_reference": (canvas.homography_canvas_reference, "3 3")})
    check_floating(op, **{"canvas.homography_canvas_reference": canvas.homography_canvas_reference})
    H, size = canvas.homography_canvas_reference.detach().to("cpu", torch.float64), check_size(op, canvas.size)
    regular = bool(H.isfinite().all()) and int(torch.linalg.matrix_rank(H)) == 3
    check_option(op, regular, "the homography of the canvas to be one that can be inverted", H.tolist())
    if size == alignment.size and torch.equal(H, H[2, 2] * torch.eye(3, dtype=H.dtype)):
        return None
    return Canvas(H, size)
