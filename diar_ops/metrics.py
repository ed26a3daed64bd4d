"""Image quality against the true picture: RMSE, PSNR and SSIM, with masks."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from diar_ops._checks import (
    check_bool,
    check_floating,
    check_option,
    check_shapes,
    full_precision,
    is_number,
    solve_dtype,
)
from diar_ops._errors import ShapeError
from diar_ops._filters import filter_axis

#: Wang et al. 2004: an 11 x 11 Gaussian window of sigma 1.5, and the two stabilising constants.
WINDOW_RADIUS = 5
WINDOW_SIGMA = 1.5
_BELL = [math.exp(-0.5 * (offset / WINDOW_SIGMA) ** 2) for offset in range(-WINDOW_RADIUS, WINDOW_RADIUS + 1)]
_WINDOW = tuple(value / sum(_BELL) for value in _BELL)
K1, K2 = 0.01, 0.03


@full_precision
def rmse(image: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """Return the root mean square error over the valid pixels and all channels.

    Args:
        image: (B, C, H, W) floating point.
        target: (B, C, H, W).
        valid: Optional (B, 1, H, W) bool; pixels where it is False have no influence at all.

    Returns:
        (B,) in the promoted dtype and the unit of the images; NaN for an item without a valid
        pixel, or with a NaN at a valid one (a broken picture must not look good). The gradient at
        error 0 is 0.

    Raises:
        ShapeError: A shape does not fit.
        DtypeError: An image is not floating point or ``valid`` not bool.

    Example:
        >>> image, target = torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
        >>> target[..., 1, 1] = 0.4
        >>> rmse(image, target), rmse(image, target, valid=target == 0)
        (tensor([0.2000]), tensor([0.]))
    """
    error = _mean_square("rmse", image, target, valid)
    positive = error > 0
    root = torch.where(positive, error, 1).sqrt()
    # Not 0 * root: a NaN error must stay NaN.
    root = torch.where(positive, root, error)
    return root.to(torch.promote_types(image.dtype, target.dtype))


@full_precision
def psnr(image: Tensor, target: Tensor, valid: Tensor | None = None, *, data_range: float = 1.0) -> Tensor:
    """Return the peak signal-to-noise ratio 10 log10(data_range^2 / MSE), in dB.

    The mean square error runs over the valid pixels and all channels.

    Args:
        image: (B, C, H, W) floating point.
        target: (B, C, H, W).
        valid: Optional (B, 1, H, W) bool; pixels where it is False have no influence at all.
        data_range: Largest possible value minus smallest: 1 for images in [0, 1].

    Returns:
        (B,) in the promoted dtype; ``inf`` for equal images (with gradient 0); NaN for an item
        without a valid pixel, or with a NaN at a valid one.

    Raises:
        ShapeError: A shape does not fit.
        DtypeError: An image is not floating point or ``valid`` not bool.
        OptionError: ``data_range`` is not positive.

    Example:
        >>> image = torch.full((1, 3, 8, 8), 0.5)
        >>> psnr(image + 0.1, image).round(decimals=2)  # 10 log10(1 / 0.1^2)
        tensor([20.])
    """
    check_option("psnr", is_number(data_range) and data_range > 0, "a positive data_range", data_range)
    error = _mean_square("psnr", image, target, valid)
    equal = error == 0
    ratio = 10 * (data_range**2 / torch.where(equal, 1, error)).log10()
    decibels = torch.where(equal, torch.inf, ratio)
    return decibels.to(torch.promote_types(image.dtype, target.dtype))


@full_precision
def ssim(image: Tensor, target: Tensor, valid: Tensor | None = None, *, data_range: float = 1.0) -> Tensor:
    """Return the mean structural similarity with an 11 x 11 Gaussian window of sigma 1.5.

    The mean runs over all channels and all windows that lie fully inside the image and, with
    ``valid``, fully inside the mask. Equal to scikit-image's ``structural_similarity`` with
    ``gaussian_weights=True, sigma=1.5, use_sample_covariance=False``.

    Args:
        image: (B, C, H, W) floating point, H and W at least 11.
        target: (B, C, H, W).
        valid: Optional (B, 1, H, W) bool; pixels where it is False have no influence at all.
        data_range: Largest possible value minus smallest: 1 for images in [0, 1].

    Returns:
        (B,) in the promoted dtype, at most 1; NaN for an item without a fully valid window, or
        with a NaN in one.

    Raises:
        ShapeError: A shape does not fit, or the image is smaller than the window.
        DtypeError: An image is not floating point or ``valid`` not bool.
        OptionError: ``data_range`` is not positive.

    Source: Wang, Bovik, Sheikh and Simoncelli, Image Quality Assessment: From Error Visibility to
    Structural Similarity, IEEE TIP 13(4), 2004, equation 13.

    Example:
        >>> image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        >>> ssim(image, image).round(decimals=2), ssim(image + 0.1, image).round(decimals=2)
        (tensor([1.]), tensor([0.9800]))
        >>> ssim(0.5 * image, image).round(decimals=2)  # half the contrast
        tensor([0.6400])
    """
    op = "ssim"
    check_option(op, is_number(data_range) and data_range > 0, "a positive data_range", data_range)
    sizes = _check(op, image, target, valid)
    side = 2 * WINDOW_RADIUS + 1
    if min(sizes["H"], sizes["W"]) < side:
        raise ShapeError(f"{op}: images must be at least {side} x {side} pixels, got {sizes['H']} x {sizes['W']}")
    result_dtype = torch.promote_types(image.dtype, target.dtype)
    dtype = solve_dtype(result_dtype)
    x, y = image.to(dtype), target.to(dtype)
    windows = None
    if valid is not None:
        x, y = (torch.where(valid, tensor, 0) for tensor in (x, y))
        columns = F.max_pool2d((~valid).to(dtype), (side, 1), stride=1)
        windows = F.max_pool2d(columns, (1, side), stride=1) == 0  # [B, 1, h, w]
    # Around a level that both share, since squares of large values leave no digits for the variance.
    level = torch.where(y.isfinite(), y, 0).detach().mean((-2, -1), keepdim=True)
    x, y = x - level, y - level
    mean_x, mean_y, square_x, square_y, product = _window_means(torch.stack((x, y, x * x, y * y, x * y)))
    variance_x, variance_y = square_x - mean_x * mean_x, square_y - mean_y * mean_y
    covariance = product - mean_x * mean_y
    mean_x, mean_y = mean_x + level, mean_y + level
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    similarity = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x * mean_x + mean_y * mean_y + c1) * (variance_x + variance_y + c2)
    )
    return _masked_mean(similarity, windows).to(result_dtype)


def _check(op: str, image: Tensor, target: Tensor, valid: Tensor | None) -> dict[str, int]:
    sizes = check_shapes(op, image=(image, "B C H W"), target=(target, "B C H W"), valid=(valid, "? B 1 H W"))
    check_floating(op, image=image, target=target)
    check_bool(op, valid=valid)
    return sizes


def _masked_mean(values: Tensor, valid: Tensor | None) -> Tensor:
    """Return means (B,) of (B, C, H, W) where ``valid`` (B, 1, H, W); NaN where nothing is."""
    if valid is None:
        return values.mean((1, 2, 3))
    count = valid.sum((1, 2, 3)) * values.shape[1]
    total = torch.where(valid, values, 0).sum((1, 2, 3))
    return torch.where(count > 0, total / count.clamp(min=1), torch.nan)


def _mean_square(op: str, image: Tensor, target: Tensor, valid: Tensor | None) -> Tensor:
    _check(op, image, target, valid)
    dtype = solve_dtype(torch.promote_types(image.dtype, target.dtype))
    difference = image.to(dtype) - target.to(dtype)
    if valid is not None:
        # Before the square, whose gradient would turn an excluded NaN into 0 * NaN.
        difference = torch.where(valid, difference, 0)
    return _masked_mean(difference.square(), valid)


def _window_means(images: Tensor) -> Tensor:
    """Return Gaussian means (..., H - 10, W - 10) of (..., H, W), separably."""
    return filter_axis(filter_axis(images, _WINDOW, -2), _WINDOW, -1)


def colour_gain(image: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Return the least-squares factor per channel that brings an image closest to the target.

    Scores after this gain do not depend on brightness and colour of the light, which photos alone
    do not tell.

    Args:
        image: (B, C, H, W).
        target: (B, C, H, W).
        valid: (B, 1, H, W) bool; other pixels do not count.

    Returns:
        (B, C, 1, 1).
    """
    mask = valid.to(target)
    energy = (image.square() * mask).sum(dim=(-2, -1), keepdim=True)
    return (image * target * mask).sum(dim=(-2, -1), keepdim=True) / energy.clamp_min(1e-6)
