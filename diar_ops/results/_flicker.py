"""The aligned frames of the report one after another: what is aligned stands still."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from diar_ops._types import Alignment, Reconstruction
from diar_ops.geometry import distort_points
from diar_ops.results._pictures import data_uri, lay, resize_matrix, shrink, transform

__all__ = ["Flicker", "Still", "flicker"]

_MOST = 12  # frames; more would swell the page and take longer to watch than anyone does
_WHOLE, _DETAIL = 640, 80  # longest edge of the whole view, edge of each enlarged square
_UNLIKE = 0.08  # difference of mean colours from which a square shows something else
_EMPTY = 0.5  # grey where a frame shows nothing


class Still(NamedTuple):
    """One picture of the animation: the whole view and the enlarged squares, as data URIs."""

    name: str
    whole: str
    detail: str


class Flicker(NamedTuple):
    """The reference, the other frames and, last, the clean picture."""

    stills: list[Still]
    #: (h, w) of the whole views, and the edge of the details of two by two squares, in pixels.
    size: tuple[int, int]
    detail: int
    #: (left, top, width, height) of the squares in percent of the picture, row by row.
    spots: list[tuple[float, float, float, float]]


def flicker(
    frames: Sequence[Tensor],
    names: Sequence[str],
    alignment: Alignment,
    reconstruction: Reconstruction,
) -> Flicker | None:
    """Lay up to twelve aligned frames over the reference, in the light of the clean picture.

    The details are sampled from the frames at full resolution, at the place with the most
    texture in each quarter of the picture: a frame that is turned or distorted is off at one of
    them at least.

    Returns:
        None if fewer than two frames are aligned.
    """
    used = alignment.success.nonzero().flatten().tolist()
    others = [t for t in used if t != alignment.reference]
    if not others:
        return None
    evenly = np.linspace(0, len(others) - 1, min(_MOST - 1, len(others))).round().astype(int)
    shown = [alignment.reference, *(others[i] for i in evenly)]
    height, width = alignment.size
    side = max(1, min(_DETAIL, height // 2, width // 2))
    clean = shrink(reconstruction.image, _WHOLE)
    places = alignment.homography_reference_frame.detach().cpu().double().numpy()
    light = reconstruction.gain.detach().cpu().double().numpy()
    bend = alignment.distortion
    wholes = [
        _whole(frames[t], places[t], light[t], alignment.size, clean.shape[:2], bend) for t in shown
    ]
    spots = _spots(clean, wholes, reconstruction.coverage, side)
    stills = []
    for t, whole in zip(shown, wholes, strict=True):
        squares = [_square(frames[t], places[t], light[t], spot, side, bend) for spot in spots]
        stills.append(_still(names[t], whole, squares))
    pieces = [reconstruction.image[:, y : y + side, x : x + side] for y, x in spots]
    stills.append(_still("", clean, [shrink(piece, side) for piece in pieces]))
    return Flicker(
        stills,
        clean.shape[:2],
        2 * side,
        [
            (100 * x / width, 100 * y / height, 100 * side / width, 100 * side / height)
            for y, x in spots
        ],
    )


def _still(name: str, whole: Any, squares: list[Any]) -> Still:
    detail = np.vstack((np.hstack(squares[:2]), np.hstack(squares[2:])))
    return Still(name, data_uri(whole, quality=84), data_uri(detail, quality=92))


def _spots(clean: Any, wholes: list[Any], coverage: Tensor, side: int) -> list[tuple[int, int]]:
    """Return (top, left) in full pixels of the best square of each quarter, row by row.

    A square is good if it has edges in all directions, which no displacement leaves in place
    (the smaller eigenvalue of its structure tensor), and if many frames show it with nothing in
    the way.
    """
    import cv2

    height, width = coverage.shape[-2:]
    h, w = clean.shape[:2]
    block = max(1, round(side * max(h, w) / max(height, width)))

    grey = cv2.cvtColor(clean, cv2.COLOR_RGB2GRAY)
    quality: Any = cv2.cornerMinEigenVal(grey, block, ksize=3)
    # By its mean colour, which a displacement hardly changes: faults must not be chosen away.
    unlike = [cv2.blur(whole - clean, (block, block)) for whole in (clean, *wholes)]
    quality = quality * np.mean([np.abs(mean).max(axis=-1) < _UNLIKE for mean in unlike], axis=0)
    covered: Any = shrink(coverage.float() / max(1, int(coverage.max())), 0, exact=(h, w))
    quality = quality * cv2.erode(covered, np.ones((block, block), np.uint8)) ** 2
    spots = []
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        y0, x0 = row * h // 2 + block // 2, column * w // 2 + block // 2
        y1, x1 = (row + 1) * h // 2 - block // 2, (column + 1) * w // 2 - block // 2
        quarter = quality[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
        y, x = np.unravel_index(int(quarter.argmax()), quarter.shape)
        top = round((y0 + int(y) + 0.5) * height / h - side / 2)
        left = round((x0 + int(x) + 0.5) * width / w - side / 2)
        spots.append((max(0, min(top, height - side)), max(0, min(left, width - side))))
    return spots


def _whole(
    frame: Tensor,
    homography: Any,
    light: Any,
    reference: tuple[int, int],
    size: tuple[int, int],
    distortion: float,
) -> Any:
    """Return the frame as seen from the reference, reduced to ``size``, (h, w, 3)."""
    import cv2

    # Laid at twice the size: interpolation at half a pixel would blur some frames and not others.
    grid = (2 * size[0], 2 * size[1])
    source = shrink(frame, max(grid))
    to_source = resize_matrix((frame.shape[-2], frame.shape[-1]), source.shape[:2])
    matrix = resize_matrix(reference, grid) @ homography @ np.linalg.inv(to_source)
    laid = _laid(source, matrix, light, grid, distortion=distortion)
    return cv2.resize(laid, size[::-1], interpolation=cv2.INTER_AREA)


def _square(
    frame: Tensor, homography: Any, light: Any, spot: tuple[int, int], side: int, distortion: float
) -> Any:
    """Return one square of the reference as the frame shows it, (side, side, 3)."""
    top, left = spot
    corners = [(x, y) for y in (top, top + side) for x in (left, left + side)]
    straight = np.nan_to_num(transform(np.linalg.inv(homography), np.array(corners)))
    photo = (int(frame.shape[-2]), int(frame.shape[-1]))
    bend = torch.tensor(distortion, dtype=torch.float64)
    found = distort_points(torch.from_numpy(straight), bend, size=photo).points.numpy()
    # The lens bends the sides of the square by less than the margin.
    x0, y0 = np.clip(found.min(axis=0) - 4, 0, photo[::-1]).astype(int)
    x1, y1 = np.clip(found.max(axis=0) + 5, 0, photo[::-1]).astype(int)
    piece = frame[:, y0:y1, x0:x1]
    if not piece.numel():
        return np.full((side, side, 3), _EMPTY, np.float32)
    source = shrink(piece, 0, exact=(y1 - y0, x1 - x0))
    matrix = _translation(-left, -top) @ homography @ _translation(x0, y0)
    return _laid(
        source,
        matrix,
        light,
        (side, side),
        distortion=distortion,
        photo_size=photo,
        photo_offset=(int(x0), int(y0)),
    )


def _laid(source: Any, matrix: Any, light: Any, size: tuple[int, int], **lens: Any) -> Any:
    laid, shown = lay(source, matrix, light, size, **lens)
    return np.where(shown[..., None], laid, np.float32(_EMPTY))


def _translation(x: float, y: float) -> Any:
    return np.array([[1.0, 0, x], [0, 1, y], [0, 0, 1]])
