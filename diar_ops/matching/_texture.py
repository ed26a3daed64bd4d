"""Grey values, gradients and window means, shared by dense_descriptors and dense_sift."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

#: ITU-R BT.601 luma, the grey of OpenCV and Pillow.
_LUMA = (0.299, 0.587, 0.114)


def grey(images: Tensor) -> Tensor:
    """Return the luma of RGB images as (B, 1, H, W); grey images pass."""
    if images.shape[1] == 1:
        return images
    red, green, blue = (images[:, c : c + 1] * weight for c, weight in enumerate(_LUMA))
    return red + green + blue


def window_mean(images: Tensor, *, stride: float, offset: float, window: float, size: tuple[int, int]) -> Tensor:
    """Average the part inside the image of the square window around every cell.

    Args:
        images: (B, C, H, W).
        stride: Distance of neighbouring cells, in pixels.
        offset: Position of cell (0, 0) along x and along y, in pixels.
        window: Side of the square, in pixels, at least 1.
        size: (h, w), number of cells.

    Returns:
        (B, C, h, w).
    """
    for dim, count in ((-2, size[0]), (-1, size[1])):
        length = images.shape[dim]
        cell = torch.arange(count, device=images.device, dtype=torch.float64)
        start = torch.ceil(offset + stride * cell - window / 2).long()
        stop = (start + max(1, round(window))).clamp(1, length)
        start = start.clamp(0, length - 1)
        # One dimension at a time keeps the running sums short, and their rounding errors small.
        sums = F.pad(images.cumsum(dim), (1, 0) if dim == -1 else (0, 0, 1, 0))
        count_inside = (stop - start).to(images.dtype)
        if dim == -2:
            count_inside = count_inside[:, None]
        images = (sums.index_select(dim, stop) - sums.index_select(dim, start)) / count_inside
    return images
