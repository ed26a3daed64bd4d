"""What light leaves alone in an image: its local contrast."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["box_sum", "local_contrast"]

#: Side of the window, in pixels. A wider one sees less of small detail and is spoiled farther
#: around what hides the picture: with 13 every tenth frame of misaligned-val was lost.
_WINDOW = 7
#: Contrast, in intensity, below which there is more noise than picture.
_FLOOR = 0.01


def local_contrast(image: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Return the brightness of each pixel relative to its surroundings, in their deviations.

    Args:
        image: (B, C, H, W) in [0, 1], finite.
        valid: (B, 1, H, W) bool.

    Returns:
        (B, 1, H, W), about -3 to 3, and (B, 1, H, W) bool, False beside invalid pixels, too.
    """
    share = valid.to(image.dtype)
    grey = image.mean(1, keepdim=True) * share
    count, total, squares = box_sum(torch.cat((share, grey, grey.square()), 1), _WINDOW).split(1, 1)
    count = count.clamp_min(1)
    mean = total / count
    variance = (squares / count - mean.square()).clamp_min(0) + _FLOOR**2
    return (grey - mean) * variance.rsqrt(), _shrink(valid)


def box_sum(image: Tensor, side: int) -> Tensor:
    """Return the sum over the part inside the image of the square around each pixel.

    A running sum would lose digits, pooling takes several times as long: sums of 1, 2, 4, ...
    neighbours make up the others.
    """
    for dim in (-2, -1):
        before, after = side // 2, side - 1 - side // 2
        image = F.pad(image, (before, after) if dim == -1 else (0, 0, before, after))
        length = image.shape[dim] - side + 1
        found, start, power, number = None, 0, image, 1
        while True:
            if side & number:
                part = power.narrow(dim, start, length)
                found = part if found is None else found + part
                start += number
            if 2 * number > side:
                break
            reach = power.shape[dim] - number
            power = power.narrow(dim, 0, reach) + power.narrow(dim, number, reach)
            number *= 2
        assert found is not None
        image = found
    return image


def _shrink(valid: Tensor) -> Tensor:
    """Return the pixels (B, 1, H, W) bool whose eight neighbours are valid, or outside."""
    for dim in (-2, -1):
        padded = F.pad(valid, (1, 1) if dim == -1 else (0, 0, 1, 1), value=True)
        length = valid.shape[dim]
        valid = valid & padded.narrow(dim, 0, length) & padded.narrow(dim, 2, length)
    return valid
