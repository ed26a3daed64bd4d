"""How close a picture is to the label."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from torch import Tensor

from benchmarks.quality.lpips import lpips_distance
from diar_ops.metrics import colour_gain, psnr, rmse, ssim

__all__ = ["DECIMALS", "LOWER_IS_BETTER", "SCORES", "score_picture"]

#: What is measured, and its words; ``psnr_gain`` after one least-squares factor per channel, since
#: the brightness of the label cannot be known from the frames; ``lpips`` only with its weights.
SCORES = {
    "psnr": "PSNR [dB]",
    "psnr_gain": "PSNR after one colour gain [dB]",
    "rmse": "RMSE",
    "ssim": "SSIM",
    "lpips": "LPIPS",
}
LOWER_IS_BETTER = frozenset({"rmse", "lpips"})
#: Decimals that are worth reading.
DECIMALS = {"psnr": 2, "psnr_gain": 2, "rmse": 4, "ssim": 4, "lpips": 4}


def score_picture(
    picture: Tensor,
    label: Tensor,
    shown: Tensor | None,
    perceptual: Mapping[str, Tensor] | None = None,
    *,
    scores: Collection[str] | None = None,
) -> dict[str, float]:
    """Return scores of a picture, to six decimals.

    Args:
        picture: (1, 3, H, W), clipped to [0, 1] here.
        label: (1, 3, H, W) in [0, 1].
        shown: (1, 1, H, W) bool, the pixels to compare; None for all.
        perceptual: Weights of :func:`load_lpips`, if LPIPS is to be among the scores.
        scores: Which of :data:`SCORES`; ``None``: all.
    """
    picture = picture.to(label.dtype).clamp(0, 1)
    everywhere = label.new_ones(1, 1, *label.shape[-2:]).bool()
    gain = colour_gain(picture, label, everywhere if shown is None else shown)
    measures: dict[str, Callable[[], Tensor]] = {
        "psnr": lambda: psnr(picture, label, shown),
        "psnr_gain": lambda: psnr((picture * gain).clamp(0, 1), label, shown),
        "rmse": lambda: rmse(picture, label, shown),
        "ssim": lambda: ssim(picture, label, shown),
    }
    if perceptual is not None:
        measures["lpips"] = lambda: lpips_distance(picture, label, perceptual, shown)
    return {name: round(float(measures[name]()), 6) for name in scores or measures}
