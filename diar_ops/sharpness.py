"""Sharpness of a picture against the best of the photos that it was made of."""

from __future__ import annotations

import torch
from torch import Tensor

from diar_ops._boxes import box_sum
from diar_ops._checks import check_bool, check_floating, check_shapes, full_precision, solve_dtype
from diar_ops._errors import ShapeError

#: Side of the windows in which picture and photo are compared; correlation there from which on they
#: show the same; how many pixels of texture they must share.
WINDOW, ALIKE, LEAST_PIXELS = 9, 0.6, 50
#: Added to local means, so that contrast in the dark is not noise divided by nothing.
DARK = 0.05


@full_precision
def relative_sharpness(image: Tensor, photos: Tensor, valid: Tensor | None = None) -> Tensor:
    r"""Compare the fine detail of a picture with that of the sharpest of its photos.

    Without any ground truth: for each photo, the ratio of the sums of

    .. math:: \frac{|x - \bar x_3|}{\bar x_9 + 0.05}

    over the picture and over the photo, with the means of 3 x 3 and 9 x 9 pixels of the grey value
    x. They run over pixels of more texture than the mean, of which the 9 x 9 pixels around,
    smoothed, correlate by 0.6 and more: where something hides the picture, glares or is flat,
    nothing is compared. The contrast hardly depends on exposure. The smallest ratio, that to the
    sharpest photo, is returned. Noise of the photos counts as detail of theirs where they have
    texture: the mean of noisy photos comes out below 1.

    Args:
        image: (B, C, H, W) floating point in [0, 1], the picture.
        photos: (B, T, C, H, W) photos aligned with it.
        valid: Optional (B, T, 1, H, W) bool; pixels where it is False have no influence.

    Returns:
        (B,) in the promoted dtype: 1 is as sharp as the best photo, less is softer; NaN for an item
        in which no photo shares 50 pixels of texture with the picture, or whose picture is not
        finite.

    Raises:
        ShapeError: A shape does not fit.
        DtypeError: Pictures are not floating point, or ``valid`` is not bool.

    Example:
        >>> photo = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0))
        >>> soft = torch.nn.functional.avg_pool2d(photo, 3, 1, 1)
        >>> photos = torch.stack([photo, soft], dim=1)
        >>> relative_sharpness(photo, photos), relative_sharpness(soft, photos) < 0.5
        (tensor([1.]), tensor([True]))
    """
    op = "relative_sharpness"
    sizes = check_shapes(op, image=(image, "B C H W"), photos=(photos, "B T C H W"), valid=(valid, "? B T 1 H W"))
    check_floating(op, image=image, photos=photos)
    check_bool(op, valid=valid)
    if min(sizes["H"], sizes["W"]) < WINDOW or sizes["T"] == 0:
        raise ShapeError(
            f"{op}: photos must be at least one, and of {WINDOW} x {WINDOW} pixels at least, got {list(photos.shape)}"
        )
    result_dtype = torch.promote_types(image.dtype, photos.dtype)
    dtype = solve_dtype(result_dtype)
    sound = image.isfinite().all(dim=1, keepdim=True)
    usable = photos.isfinite().all(dim=2) & sound.all(dim=2, keepdim=True).all(dim=3, keepdim=True)
    if valid is not None:
        usable = usable & valid[:, :, 0]
    picture = torch.where(sound, image, 0).to(dtype).mean(dim=1, keepdim=True)
    grey = torch.where(usable, torch.where(usable[:, :, None], photos, 0).to(dtype).mean(dim=2), 0)
    mask = usable.to(dtype)
    own = torch.where(usable, picture, 0)  # [B, T, H, W], where the photo shows it
    means = _Means(mask)
    one, other = _Detail(own, means), _Detail(grey, means)
    product = means(one.around * other.around, WINDOW)
    alike = product > ALIKE * (one.energy * other.energy + 1e-12).sqrt()
    texture = (one.energy + 1e-12).sqrt() / one.level + (other.energy + 1e-12).sqrt() / other.level
    count = mask.sum((2, 3), keepdim=True).clamp_min(1)
    textured = texture > (texture * mask).sum((2, 3), keepdim=True) / count
    # Whole windows only: what ends at a border has an edge there.
    whole = means.counts[WINDOW] > WINDOW**2 - 0.5
    counts = alike & textured & whole
    sums = [torch.where(counts, detail.fine.abs() / detail.level, 0).sum((2, 3)) for detail in (one, other)]
    known = (counts.sum((2, 3)) >= LEAST_PIXELS) & (sums[1] > 0)
    ratio = torch.where(known, sums[0] / torch.where(known, sums[1], 1), torch.inf)
    least = ratio.amin(dim=1)
    return torch.where(least.isfinite(), least, torch.nan).to(result_dtype)


class _Detail:
    """Local means, deviations and energy of grey pictures (B, T, H, W)."""

    def __init__(self, grey: Tensor, means: _Means) -> None:
        near, mean = means(grey, 3), means(grey, WINDOW)
        self.fine = grey - near
        self.level = mean.clamp_min(0) + DARK
        # Smoothed, so that a soft picture shows the same as a sharp photo.
        self.around = (near - mean) * means.mask
        self.energy = means(self.around.square(), WINDOW)


class _Means:
    """Means of the pixels that count in squares around each, ``mask`` (B, T, H, W) 1 where they do."""

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask
        self.counts = {side: box_sum(mask, side) for side in (3, WINDOW)}

    def __call__(self, values: Tensor, side: int) -> Tensor:
        return box_sum(values * self.mask, side) / self.counts[side].clamp_min(0.5)
