"""Logits that make a softmax aggregate follow the agreement of the frames."""

from __future__ import annotations

import torch
from torch import Tensor

from diar_ops._checks import check_bool, check_floating, check_option, check_shapes, is_number, solve_dtype
from diar_ops._module import OpModule
from diar_ops.aggregate.median import median_aggregate


def consensus_logits(features: Tensor, valid: Tensor | None = None, *, sigma: float = 0.04) -> Tensor:
    r"""Score each frame at each pixel by its distance to the median over the frames.

    .. math:: \ell_{tp} = -\frac{1}{2 \sigma^2 C} \sum_c (x_{tcp} - \mathrm{median}_t\, x_{tcp})^2

    In :func:`softmax_aggregate` these logits give one step of the Welsch M-estimator, started at
    the median: frames that agree are averaged, which the median alone does not do, and frames
    that disagree by more than a few ``sigma`` lose their say. The weights are one number per
    frame and pixel, so that the channels of a pixel always come from the same frames.

    Args:
        features: (B, T, C, H, W).
        valid: Optional (B, T, 1, H, W) bool; False marks pixels to ignore.
        sigma: Scale of the disagreement that is noise, in units of ``features``.

    Returns:
        (B, T, 1, H, W) logits, at most 0; 0 where ``valid`` is False or a feature is NaN.

    Raises:
        ShapeError: ``valid`` does not fit ``features``.
        DtypeError: ``features`` is not floating point, or ``valid`` not bool.
        OptionError: ``sigma`` is not positive.
    """
    check_shapes("consensus_logits", features=(features, "B T C H W"), valid=(valid, "? B T 1 H W"))
    check_floating("consensus_logits", features=features)
    check_bool("consensus_logits", valid=valid)
    check_option("consensus_logits", is_number(sigma) and sigma > 0, "sigma > 0", sigma)
    x = features.to(solve_dtype(features.dtype))
    median = median_aggregate(x, valid)
    usable = x.isfinite().all(dim=2, keepdim=True)
    if valid is not None:
        usable = usable & valid
    difference = torch.where(usable, x - median.unsqueeze(1), torch.zeros_like(x))
    channels = max(1, features.shape[2])
    logits = difference.square().sum(dim=2, keepdim=True) / channels * (-0.5 / sigma**2)
    # Finite in any dtype: an infinite logit would not count at all.
    return logits.clamp_min(torch.finfo(features.dtype).min).to(features.dtype)


class ConsensusLogits(OpModule):
    """See :func:`consensus_logits`."""

    def __init__(self, *, sigma: float = 0.04) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, features: Tensor, valid: Tensor | None = None) -> Tensor:
        """See :func:`consensus_logits`."""
        return consensus_logits(features, valid, sigma=self.sigma)
