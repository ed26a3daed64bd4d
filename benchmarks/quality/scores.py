"""Scores of a picture against the label."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from torch import Tensor

from benchmarks.quality.intervals import Mean
from benchmarks.quality.lpips import lpips_distance
from diar_ops.metrics import colour_gain, psnr, rmse, ssim


class Measure(NamedTuple):
    """Title and number format of a measured value.

    Attributes:
        title: Name and unit.
        decimals: Those that are worth reading.
        scale: Factor of the unit, such as 100 for shares in per cent.
        lower_is_better: Whether smaller values are better.
    """

    title: str
    decimals: int = 2
    scale: float = 1
    lower_is_better: bool = False

    @property
    def name(self) -> str:
        """The title without its unit."""
        return self.title.split(" [")[0]

    def format(self, value: float, sign: str = "") -> str:
        """Return a value as text, "-" for NaN; ``sign="+"`` also marks positive ones."""
        return "-" if math.isnan(value) else f"{self.scale * value:{sign}.{self.decimals}f}"

    def format_mean(self, mean: Mean, sign: str = "") -> str:
        """Return a mean and, if there is one, its interval in brackets."""
        value, low, high = (self.format(x, sign) for x in mean)
        return value if math.isnan(mean.low) else f"{value} [{low}, {high}]"


#: What is measured of a picture: ``psnr_gain`` after one least-squares factor per channel, since
#: the brightness of the label cannot be known from the frames; ``lpips`` only with its weights.
SCORES = {
    "psnr": Measure("PSNR [dB]"),
    "psnr_gain": Measure("PSNR after one colour gain [dB]"),
    "rmse": Measure("RMSE", 4, lower_is_better=True),
    "ssim": Measure("SSIM", 4),
    "lpips": Measure("LPIPS", 4, lower_is_better=True),
}


def score_picture(
    picture: Tensor,
    label: Tensor,
    valid: Tensor | None,
    perceptual: Mapping[str, Tensor] | None = None,
    *,
    scores: Collection[str] | None = None,
) -> dict[str, float]:
    """Return scores of a picture, to six decimals.

    Args:
        picture: (1, 3, H, W), clipped to [0, 1] here.
        label: (1, 3, H, W) in [0, 1].
        valid: (1, 1, H, W) bool, the pixels to compare; None for all.
        perceptual: Weights of :func:`load_lpips`, if LPIPS is to be among the scores.
        scores: Which of :data:`SCORES`; ``None``: all.
    """
    picture = picture.to(label.dtype).clamp(0, 1)
    everywhere = label.new_ones(1, 1, *label.shape[-2:]).bool()
    gain = colour_gain(picture, label, everywhere if valid is None else valid)
    measures: dict[str, Callable[[], Tensor]] = {
        "psnr": lambda: psnr(picture, label, valid),
        "psnr_gain": lambda: psnr((picture * gain).clamp(0, 1), label, valid),
        "rmse": lambda: rmse(picture, label, valid),
        "ssim": lambda: ssim(picture, label, valid),
    }
    if perceptual is not None:
        measures["lpips"] = lambda: lpips_distance(picture, label, perceptual, valid)
    return {name: round(float(measures[name]()), 6) for name in scores or measures}
