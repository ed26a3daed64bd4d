"""Weiss's intrinsic image: the median over frames of derivatives, integrated."""

from __future__ import annotations

import torch
from torch import Tensor

from diar_ops._checks import check_option, full_precision, is_number
from diar_ops._module import OpModule
from diar_ops.aggregate._frames import check_frames, usable_frames
from diar_ops.aggregate._intrinsic.poisson import divergence, solve_poisson
from diar_ops.aggregate.median import median_aggregate

#: Weight of a difference that no frame shows. It connects what masks separate and fills what no
#: frame covers, and changes a difference that frames do show by no more than this share.
_UNSEEN_WEIGHT = 1e-4


@full_precision
def intrinsic_aggregate(features: Tensor, valid: Tensor | None = None, *, floor: float = 1 / 255) -> Tensor:
    r"""Estimate what all frames share by the median of their log derivatives, channel by channel.

    Each frame is the common picture times an illumination whose log derivatives are sparse: the
    edge of a shadow, a highlight or an occluder lies somewhere else in each frame. So the median
    over frames of the horizontal and vertical log derivatives is the maximum likelihood estimate
    of those of the picture, and the picture is their least squares integral, without a condition
    at the border. Its unknown factor per channel is such that the median over all frames and
    pixels of log frame - log picture is 0: its brightness is that of the typical frame.

    A frame counts at a pixel where it is valid and finite in all channels, and a derivative where
    both of its pixels count. One that no frame shows is replaced by the difference of the medians
    over the frames, with a weight of 1e-4 against 1. Where no frame counts, the output is 0 with
    zero gradient. The order of the frames does not matter.

    Args:
        features: (B, T, C, H, W) floating point intensities, any T >= 1, linear or sRGB: both
            make illumination a factor. 0 is black.
        valid: Optional (B, T, 1, H, W) bool.
        floor: Positive; smaller intensities count as this one (with zero gradient), whose
            logarithm is too far off to tell anything. The default is one step of an 8-bit image
            with full scale 1.

    Returns:
        (B, C, H, W) in the same dtype, positive where a frame counts. The gradient flows to the
        frames in the middle of each median. The integration runs in float64.

    Raises:
        ShapeError: A shape does not fit, or T is 0.
        DtypeError: ``features`` is not floating point or ``valid`` not bool.
        OptionError: ``floor`` is not positive.

    Source: Weiss, "Deriving intrinsic images from image sequences", ICCV 2001, equations 6 to 8.
    """
    op = "intrinsic_aggregate"
    check_frames(op, features, valid)
    check_option(op, is_number(floor) and floor > 0, "a positive floor", floor)
    clean, usable = usable_frames(features, valid)
    log = clean.clamp_min(floor).log()
    across, shown_across = _median_difference(log, usable, 4)
    down, shown_down = _median_difference(log, usable, 3)
    tolerance = 1e-13 if features.dtype == torch.float64 else 1e-8
    if usable is None or shown_across is None or shown_down is None:
        picture = solve_poisson(divergence(across, down), None, None, tolerance)
    else:
        covered = usable.any(1)  # [B, 1, H, W]
        median = _fill_with_mean(median_aggregate(log, usable).double(), covered)
        across = torch.where(shown_across, across, _UNSEEN_WEIGHT * median.diff(dim=3))
        down = torch.where(shown_down, down, _UNSEEN_WEIGHT * median.diff(dim=2))
        weight_across = torch.where(shown_across, 1.0, _UNSEEN_WEIGHT).double()
        weight_down = torch.where(shown_down, 1.0, _UNSEEN_WEIGHT).double()
        picture = solve_poisson(divergence(across, down), weight_across, weight_down, tolerance)
    picture = picture + _typical(log - picture.unsqueeze(1), usable)
    out: Tensor = picture.exp()
    if usable is not None:
        out = torch.where(covered, out, 0)
    return out.to(features.dtype)


def _median_difference(log: Tensor, usable: Tensor | None, dim: int) -> tuple[Tensor, Tensor | None]:
    """Return the float64 median over frames of the differences along ``dim``, and where any is."""
    pairs = None
    if usable is not None:
        length = usable.shape[dim]
        pairs = usable.narrow(dim, 1, length - 1) & usable.narrow(dim, 0, length - 1)
    median = median_aggregate(log.diff(dim=dim), pairs).double()
    return median, None if pairs is None else pairs.any(1)


def _fill_with_mean(image: Tensor, covered: Tensor) -> Tensor:
    count = covered.sum((2, 3), keepdim=True).clamp_min(1)
    return torch.where(covered, image, image.sum((2, 3), keepdim=True) / count)


def _typical(difference: Tensor, usable: Tensor | None) -> Tensor:
    """Return the median (B, C, 1, 1) over frames and pixels; 0 without any."""
    if usable is not None:
        difference = torch.where(usable, difference, torch.nan)
    flat = difference.movedim(1, 2).flatten(2)
    typical: Tensor = flat.nanmedian(dim=2).values.nan_to_num(0.0)
    return typical[..., None, None]


class IntrinsicAggregate(OpModule):
    """See :func:`intrinsic_aggregate`."""

    def __init__(self, *, floor: float = 1 / 255) -> None:
        super().__init__()
        self.floor = floor

    def forward(self, features: Tensor, valid: Tensor | None = None) -> Tensor:
        """Aggregate (B, T, C, H, W) to (B, C, H, W)."""
        return intrinsic_aggregate(features, valid, floor=self.floor)
