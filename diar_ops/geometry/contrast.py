"""Local contrast: features that exposure and shading leave unchanged."""

from __future__ import annotations

import torch
from torch import Tensor

from diar_ops._boxes import box_sum
from diar_ops._checks import (
    check_bool,
    check_floating,
    check_option,
    check_shapes,
    full_precision,
    is_integer,
    is_number,
    solve_dtype,
)
from diar_ops._errors import ShapeError
from diar_ops._module import OpModule

#: Beyond this no value belongs to an image, and squares would spoil the sums around it.
LARGEST = 1e3


@full_precision
def local_contrast(
    image: Tensor, valid: Tensor | None = None, *, window: int = 7, floor: float = 0.01
) -> tuple[Tensor, Tensor]:
    """Return the brightness of each pixel relative to its surroundings, in their deviations.

    Exposure, shading, haze and soft shadows are constant over a few pixels, and fall out. The
    default features of :func:`refine_homography`.

    Args:
        image: (B, C, H, W) floating point in [0, 1].
        valid: Optional (B, 1, H, W) bool; False marks pixels without content. Pixels that are not
            finite, or beyond 1000, count as invalid.
        window: Side of the square of the surroundings, in pixels, odd, at least 3. A wider one sees
            less of small detail and is spoiled farther around what hides the picture.
        floor: Contrast, in intensity, below which there is more noise than picture; more than 0.

    Returns:
        (B, 1, H, W), about -3 to 3, 0 where invalid, in the dtype of ``image``; and (B, 1, H, W)
        bool, False at invalid pixels and beside them.

    Raises:
        ShapeError: A tensor has another shape.
        DtypeError: ``image`` is not floating point, or ``valid`` is not bool.
        OptionError: An option is outside its values.

    Example:
        >>> image = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0))
        >>> contrast, valid = local_contrast(image)
        >>> contrast.shape, contrast.std().round(decimals=1)
        (torch.Size([1, 1, 32, 48]), tensor(1.))
        >>> shaded, _ = local_contrast(image * torch.linspace(0.5, 1.0, 48))  # falls out
        >>> (shaded - contrast).abs().mean() < 0.05
        tensor(True)
    """
    op = "local_contrast"
    check_shapes(op, image=(image, "B C H W"), valid=(valid, "? B 1 H W"))
    check_floating(op, image=image)
    check_bool(op, valid=valid)
    check_option(op, is_integer(window) and window >= 3 and window % 2 == 1, "an odd window of at least 3", window)
    check_option(op, is_number(floor) and floor > 0, "floor > 0", floor)
    if image.shape[1] == 0:
        raise ShapeError(f"{op}: image must have at least one channel, got {list(image.shape)}")
    known = image.detach().abs().amax(1, keepdim=True) <= LARGEST  # nor is NaN
    known = known if valid is None else known & valid
    grey = torch.where(known, image, 0).to(solve_dtype(image.dtype)).mean(1, keepdim=True)
    # Counted in bytes, a quarter of the memory; a square of more than 15 pixels overflows them.
    count = box_sum(known.to(torch.uint8 if window <= 15 else grey.dtype), window).clamp_min(1).to(grey.dtype)
    total, squares = torch.split(box_sum(torch.cat((grey, grey.square()), 1), window), 1, dim=1)
    mean = total / count
    variance = (squares / count - mean.square()).clamp_min(0) + floor**2
    contrast = torch.where(known, (grey - mean) * variance.rsqrt(), 0)
    return contrast.to(image.dtype), _shrink(known)


def _shrink(valid: Tensor) -> Tensor:
    """Return the pixels (B, 1, H, W) bool whose eight neighbours are valid, or outside."""
    for dim in (-1, -2):
        # Beside the border lies a copy of it. (Inductor cannot compile a padding with True.)
        last = valid.shape[dim] - 1
        before = torch.cat((valid.narrow(dim, 0, 1), valid.narrow(dim, 0, last)), dim)
        after = torch.cat((valid.narrow(dim, 1, last), valid.narrow(dim, last, 1)), dim)
        valid = valid & before & after
    return valid


class LocalContrast(OpModule):
    """See :func:`local_contrast`."""

    def __init__(self, *, window: int = 7, floor: float = 0.01) -> None:
        super().__init__()
        self.window, self.floor = window, floor

    def forward(self, image: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :func:`local_contrast`."""
        return local_contrast(image, valid, window=self.window, floor=self.floor)
