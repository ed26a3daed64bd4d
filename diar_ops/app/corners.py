"""The corners of the picture, clicked in the photo that it is seen from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from diar_ops._errors import OptionError
from diar_ops._files import write_image
from diar_ops._pixels import fit_size
from diar_ops.results.images import reduce_image

Point = tuple[float, float]
_SHOWN = 900  # longest edge of the photo to click in, in pixels


def show_corners(photo: Tensor, corners: Sequence[Point], path: Path) -> None:
    """Write a photo to click in, with what was clicked.

    Args:
        photo: (3, H, W) uint8, uint16, or floating point in [0, 1].
        corners: Pixels of what is shown, (x, y).
        path: The PNG to write.
    """
    import cv2

    shown = (reduce_image(photo, _SHOWN) * 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    points = [(round(x), round(y)) for x, y in corners]
    for start, end in zip(points, points[1:] + points[:1] if len(points) == 4 else points[1:], strict=False):
        cv2.line(shown, start, end, (255, 120, 0), 2, cv2.LINE_AA)
    for point in points:
        cv2.circle(shown, point, 7, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.circle(shown, point, 5, (255, 120, 0), -1, cv2.LINE_AA)
    write_image(path, torch.from_numpy(shown).permute(2, 0, 1), overwrite=True)


def crop_at(corners: Sequence[Point], size: tuple[int, int], max_size: int | None) -> str:
    """Return the option that crops a photo to what was clicked.

    Args:
        corners: Pixels of what :func:`show_corners` shows, (x, y), in any order.
        size: (height, width) of the photo.
        max_size: Longest side to which the photo is shrunk when it is read.

    Returns:
        ``"x,y x,y x,y x,y"`` in pixels of the photo that is read, clockwise from the top left.

    Raises:
        OptionError: There are not four corners.
    """
    if len(corners) != 4:
        raise OptionError(f"click the four corners of the picture in the photo, got {len(corners)}")
    shown, read = fit_size(size, _SHOWN), fit_size(size, max_size) if max_size else size
    x0, y0 = (sum(values) / 4 for values in zip(*corners, strict=True))
    turned = sorted(corners, key=lambda point: math.atan2(point[1] - y0, point[0] - x0))
    return " ".join(
        f"{(x + 0.5) * read[1] / shown[1] - 0.5:.2f},{(y + 0.5) * read[0] / shown[0] - 0.5:.2f}" for x, y in turned
    )
