"""The aligned frames of the report one after another: what is aligned stands still."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diar_ops._pixels import image_size
from diar_ops._threads import map_threads
from diar_ops._types import Alignment
from diar_ops.results._run import FinishedRun
from diar_ops.results.images import data_uri, reduce_image

_MAX_FRAMES = 12  # more would swell the page and take longer to watch than anyone does
_WHOLE, _DETAIL = 640, 80  # longest edge of the whole view, edge of each enlarged square
_UNLIKE = 0.08  # difference of mean colours from which a square shows something else
EMPTY = 0.5  # grey where a frame shows nothing


class Still(NamedTuple):
    """One picture of the animation: the whole view and the enlarged squares, as data URIs."""

    name: str
    whole: str
    detail: str


class Flicker(NamedTuple):
    """The reference, the other frames and, last, the clean picture."""

    stills: list[Still]
    #: (height, width) of the whole views, and the edge of the details of two by two squares.
    size: tuple[int, int]
    detail: int
    #: (left, top, width, height) of the squares in percent of the picture, row by row.
    spots: list[tuple[float, float, float, float]]


def flicker(run: FinishedRun) -> Flicker | None:
    """Warp up to twelve aligned frames over the reference, in the light of the clean picture.

    The details are sampled from the frames at full resolution, at the place with the most
    texture in each quarter of the picture: a frame that is turned or distorted is off at one of
    them at least.

    Returns:
        None if fewer than two frames are aligned.
    """
    selected = _select_frames(run.alignment)
    if len(selected) < 2:
        return None
    picture, coverage = run.reconstruction.image, run.reconstruction.coverage
    height, width = run.size
    side = max(1, min(_DETAIL, height // 2, width // 2))
    clean = reduce_image(picture, _WHOLE)
    wholes = list(map_threads(lambda t: _whole(run, t, image_size(clean)), selected))
    corners = _textured_squares(clean, wholes, coverage, side)

    def still(item: tuple[int, Tensor]) -> Still:
        t, whole = item
        windows = [run.warp_window(t, (top, left, side, side)) for top, left in corners]
        return _still(run.names[t], whole, [_fill_empty(*window) for window in windows], run.icc_profile)

    stills = list(map_threads(still, zip(selected, wholes, strict=True)))
    squares = [picture[:, top : top + side, left : left + side] for top, left in corners]
    stills.append(_still("", clean, [reduce_image(square, side) for square in squares], run.icc_profile))
    share = (100 * side / width, 100 * side / height)
    spots = [(100 * left / width, 100 * top / height, *share) for top, left in corners]
    return Flicker(stills, image_size(clean), 2 * side, spots)


def _select_frames(alignment: Alignment) -> list[int]:
    """Return the reference and some of the other aligned frames, evenly chosen."""
    aligned = alignment.success.nonzero().flatten().tolist()
    others = [t for t in aligned if t != alignment.reference]
    count = min(_MAX_FRAMES - 1, len(others))
    step = (len(others) - 1) / max(1, count - 1)
    return [alignment.reference, *(others[round(i * step)] for i in range(count))]


def _whole(run: FinishedRun, index: int, size: tuple[int, int]) -> Tensor:
    """Return the frame as it lies over the picture, reduced to ``size``, (3, h, w)."""
    # Warped at twice the size: interpolation at half a pixel would blur some frames, not others.
    double = (2 * size[0], 2 * size[1])
    reduced = reduce_image(run.frames[index], max(double))
    return reduce_image(_fill_empty(*run.warp_reduced(index, reduced, double)), size)


def _still(name: str, whole: Tensor, squares: list[Tensor], icc_profile: bytes | None) -> Still:
    rows = torch.cat(squares[:2], dim=2), torch.cat(squares[2:], dim=2)
    return Still(
        name,
        data_uri(whole, quality=84, icc_profile=icc_profile),
        data_uri(torch.cat(rows, dim=1), quality=92, icc_profile=icc_profile),
    )


def _fill_empty(image: Tensor, valid: Tensor) -> Tensor:
    return torch.where(valid, image, EMPTY)


def _textured_squares(clean: Tensor, wholes: list[Tensor], coverage: Tensor, side: int) -> list[tuple[int, int]]:
    """Return (top, left) in full pixels of the best square of each quarter, row by row.

    A square is good if it has edges in all directions, which no displacement leaves in place
    (the smaller eigenvalue of its structure tensor), and if many frames show it with nothing in
    the way.
    """
    height, width = image_size(coverage)
    h, w = image_size(clean)
    block = max(1, round(side * max(h, w) / max(height, width)))
    quality = _quality(clean, wholes, coverage, block)
    corners = []
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        y0, x0 = row * h // 2 + block // 2, column * w // 2 + block // 2
        y1, x1 = (row + 1) * h // 2 - block // 2, (column + 1) * w // 2 - block // 2
        quarter = quality[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
        y, x = np.unravel_index(int(quarter.argmax()), quarter.shape)
        top = round((y0 + int(y) + 0.5) * height / h - side / 2)
        left = round((x0 + int(x) + 0.5) * width / w - side / 2)
        corners.append((max(0, min(top, height - side)), max(0, min(left, width - side))))
    return corners


def _quality(clean: Tensor, wholes: list[Tensor], coverage: Tensor, block: int) -> NDArray[Any]:
    """Return (h, w): how good the square of ``block`` pixels around each pixel is."""
    import cv2

    grey = cv2.cvtColor(clean.movedim(0, -1).contiguous().numpy(), cv2.COLOR_RGB2GRAY)
    texture = cv2.cornerMinEigenVal(grey, block, ksize=3)
    # By its mean colour, which a displacement hardly changes: faults must not be chosen away.
    differences = [(image - clean).movedim(0, -1).numpy() for image in (clean, *wholes)]
    means = [cv2.blur(difference, (block, block)) for difference in differences]
    alike = np.mean([np.abs(mean).max(axis=-1) < _UNLIKE for mean in means], axis=0)
    share = reduce_image(coverage.float() / max(1, int(coverage.max())), image_size(clean))
    covered = cv2.erode(share[0].numpy(), np.ones((block, block), np.uint8))
    quality: NDArray[Any] = texture * alike * covered**2
    return quality
