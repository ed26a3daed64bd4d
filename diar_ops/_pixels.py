"""Pixels: full scale per dtype, sizes, and where pixel centres lie when an image is resized."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops._checks import check_shapes
from diar_ops._errors import DtypeError

#: Value of white in each integer dtype of images.
FULL_SCALE = {torch.uint8: 255.0, torch.uint16: 65535.0}


def image_size(image: Tensor) -> tuple[int, int]:
    """Return (height, width) of (..., H, W)."""
    return int(image.shape[-2]), int(image.shape[-1])


def fit_size(size: tuple[int, int], longest: int, *, enlarge: bool = False) -> tuple[int, int]:
    """Return (height, width) in proportion to ``size`` with a longest side of ``longest`` pixels.

    A smaller ``size`` stays as it is without ``enlarge``; no side gets shorter than one pixel.
    """
    factor = longest / max(size)
    if factor >= 1 and not enlarge:
        return size
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def resize_matrix(from_size: tuple[int, int], to_size: tuple[int, int], like: Tensor | None = None) -> Tensor:
    """Return the (3, 3) map of pixels when an image of one (height, width) takes another.

    In the dtype and on the device of ``like``; float64 on the CPU without it.

    Pixel centres are at integers, hence ``x_to = (x_from + 0.5) * s - 0.5``.
    """
    sy, sx = to_size[0] / from_size[0], to_size[1] / from_size[1]
    dtype, device = (torch.float64, torch.device("cpu")) if like is None else (like.dtype, like.device)
    return constant([[sx, 0, 0.5 * sx - 0.5], [0, sy, 0.5 * sy - 0.5], [0, 0, 1]], dtype=dtype, device=device)


def constant(values: Sequence[Any], *, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return a tensor of some numbers, (n,) or (m, n) as the list is; not to be written to.

    A device keeps it: copying the numbers anew in each call would wait for the device.
    """
    if torch.compiler.is_compiling():  # sizes may be symbols
        rows = [row if isinstance(row, Sequence) else [row] for row in values]
        numbers = [torch.full((), x, dtype=dtype, device=device) for row in rows for x in row]
        whole = torch.stack(numbers)
        return whole.view(len(rows), -1) if isinstance(values[0], Sequence) else whole
    if device.type == "cpu":
        return torch.tensor(values, dtype=dtype)
    return _kept(tuple(tuple(row) if isinstance(row, Sequence) else row for row in values), dtype, device)


@lru_cache(maxsize=1024)
def _kept(values: tuple[Any, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # usable in training, whoever asks first
        return torch.tensor(values, dtype=dtype, device=device)


def image_to_float(pixels: Tensor) -> Tensor:
    """Map 8-bit or 16-bit ``pixels`` to float32 in [0, 1].

    Args:
        pixels: Any shape, uint8 or uint16.

    Returns:
        The same shape, float32: pixels / 255 or pixels / 65535.

    Raises:
        DtypeError: ``pixels`` is neither uint8 nor uint16.
    """
    check_shapes("image_to_float", pixels=(pixels, "..."))
    if pixels.dtype not in FULL_SCALE:
        raise DtypeError(f"image_to_float: pixels must be uint8 or uint16, got {pixels.dtype}")
    return to_unit(pixels)


def to_unit(image: Tensor) -> Tensor:
    """Return an image as float32 (float64 stays) with full scale 1."""
    if image.dtype in FULL_SCALE:
        return image.to(torch.float32).div_(FULL_SCALE[image.dtype])
    return image if image.dtype == torch.float64 else image.to(torch.float32)


def to_bytes(image: Tensor) -> Tensor:
    """Return a floating point image in [0, 1] as uint8, rounded; what lies outside is clipped."""
    return (image.clamp(0, 1) * 255).round().to(torch.uint8)


def shrink(image: Tensor, longest: int) -> Tensor:
    """Return (C, H, W) as float (1, C, h, w) with its longest side at most ``longest`` pixels."""
    whole = to_unit(image).unsqueeze(0)
    size = fit_size(image_size(whole), longest)
    if size == image_size(whole):
        return whole
    return F.interpolate(whole, size, mode="bilinear", antialias=True)


def shrink_alike(image: Tensor, longest: int) -> Tensor:
    """Return (C, H, W) as :func:`shrink` does, without a batch, rounded to its own dtype."""
    small = shrink(image, longest)[0]
    if image.dtype not in FULL_SCALE:
        return small
    return (small * FULL_SCALE[image.dtype]).round().to(torch.int32).to(image.dtype)


def shrink_valid(valid: Tensor, size: tuple[int, int]) -> Tensor:
    """Return a mask (..., 1, H, W) at a smaller ``size``: True where all but 1 % of it is True."""
    return F.interpolate(valid.float(), size, mode="area") > 0.99


def image_gradient(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return central differences along x and y, half of them at the border, per pixel."""
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    dx = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    dy = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    return dx, dy
