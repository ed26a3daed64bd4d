"""Exposure and white balance differences between frames."""

from __future__ import annotations

import torch
from torch import Tensor

from diar_ops._checks import (
    check_bool,
    check_floating,
    check_no_gradient,
    check_option,
    check_shapes,
    full_precision,
    is_exporting,
    is_integer,
    is_number,
    solve_dtype,
    widest_dtype,
)
from diar_ops._module import OpModule

# Iteratively reweighted least squares for the L1 fit of the pairs; residuals are log ratios.
_REWEIGHTINGS = 10
_LEAST_RESIDUAL = 1e-3
#: Added to the diagonal of the normal equations, whose largest weights are about 1e3.
_RIDGE = {torch.float64: 1e-10, torch.float32: 1e-4}


@full_precision
def exposure_gain(
    frames: Tensor, valid: Tensor | None = None, *, low: float = 0.005, high: float = 0.95, iterations: int = 4
) -> Tensor:
    r"""Estimate the factor per frame and channel that brings all frames to a common exposure.

    Pixels that are neither black nor saturated are compared. The median over pixels of the log
    ratio of two frames shrugs off an occluder, glare or shadow that covers less than half of what
    both show; a least L1 fit over all pairs reconciles the ratios. From there, alternating medians
    minimise the L1 norm of :math:`\log x_{tcp} + g_{tc} - m_{cp}` over the log gains ``g`` and the
    common picture ``m``; started at zero, they could stop where neither improves alone. The gains
    of each channel have median 1 over the frames that could be compared: the common exposure is
    the typical one of the sequence, not that of any one frame.

    Args:
        frames: (B, T, C, H, W) aligned frames in LINEAR light, in [0, 1].
        valid: Optional (B, T, 1, H, W) bool; False marks pixels to ignore.
        low: Values below are too dark to tell a ratio.
        high: Values above may be saturated.
        iterations: Rounds of alternation; it settles within a few.

    Returns:
        (B, T, C) positive factors, ``frames * gain`` being compensated; 1 for a frame without a
        usable pixel. Without a gradient: medians have no useful one here.

    Raises:
        ShapeError: ``valid`` does not fit ``frames``.
        DtypeError: ``frames`` is not floating point or asks for a gradient, or ``valid`` is not bool.
        OptionError: The limits are not 0 < low < high, or ``iterations`` is below 1.
    """
    check_shapes("exposure_gain", frames=(frames, "B T C H W"), valid=(valid, "? B T 1 H W"))
    check_floating("exposure_gain", frames=frames)
    check_bool("exposure_gain", valid=valid)
    fits = is_number(low) and is_number(high) and 0 < low < high
    check_option("exposure_gain", fits, "0 < low < high", (low, high))
    check_no_gradient("exposure_gain", frames=frames)
    check_option("exposure_gain", is_integer(iterations) and iterations >= 1, "iterations >= 1", iterations)
    B, T, C = frames.shape[:3]
    if frames.numel() == 0:
        return frames.new_ones(B, T, C)
    with torch.no_grad():
        x = frames.to(solve_dtype(frames.dtype))
        usable = (x > low) & (x < high)  # False for NaN, too
        if valid is not None:
            usable = usable & valid
        nan = torch.full_like(x, float("nan"))
        log = torch.where(usable, x.clamp_min(low).log(), nan).flatten(3)  # [B, T, C, P]
        # A pixel that a single frame shows cannot tell anything about ratios.
        shown = (usable.sum(dim=1, keepdim=True) >= 2).flatten(3)
        log = torch.where(shown, log, nan.flatten(3))
        gain = _reconcile_pairs(log)
        for _ in range(iterations):
            common = (log + gain).nanmedian(dim=1, keepdim=True).values
            gain = (common - log).nanmedian(dim=3, keepdim=True).values
            comparable = gain.isfinite()
            gain = gain - gain.nanmedian(dim=1, keepdim=True).values.nan_to_num(0.0)
            gain = torch.where(comparable, gain, torch.zeros_like(gain))
        return gain.squeeze(3).exp().to(frames.dtype)


def _reconcile_pairs(log: Tensor) -> Tensor:
    """Return (B, T, C, 1) log gains that best explain the median ratio of every pair of frames.

    Args:
        log: (B, T, C, P) log values, NaN where unusable.
    """
    ratio, count = _compare_pairs(log)
    dtype = widest_dtype(log.device)
    weight = count.to(dtype).movedim(3, 1)  # [B, C, T, T]
    weight = weight / weight.amax(dim=(2, 3), keepdim=True).clamp_min(1.0)
    observed = ratio.nan_to_num(0.0).to(dtype).movedim(3, 1)  # log[t] - log[s]
    # Only differences of gains are known, of frames that meet: a little of the identity picks the
    # smallest of the solutions, without the eigenvalues that a device would have to be waited for.
    ridge = _RIDGE[dtype] * torch.eye(log.shape[1], dtype=dtype, device=log.device)
    robust = weight
    for _ in range(_REWEIGHTINGS):
        # Normal equations of sum over pairs of robust * (gain[s] - gain[t] - observed[t, s])**2.
        laplacian = torch.diag_embed(robust.sum(dim=3)) - robust
        right = (robust * observed).sum(dim=3, keepdim=True)
        factor, _ = torch.linalg.cholesky_ex(laplacian + ridge)
        gain = -torch.cholesky_solve(right, factor)  # [B, C, T, 1]
        residual = gain.mT - gain - observed
        robust = weight / residual.abs().clamp_min(_LEAST_RESIDUAL)
    return gain.to(log.dtype).movedim(1, 2)


def _compare_pairs(log: Tensor) -> tuple[Tensor, Tensor]:
    """Return (B, T, T, C) medians over pixels of log[t] - log[s], and of how many pixels."""
    if is_exporting():  # T is a symbol, which no loop can count to
        difference = log.unsqueeze(2) - log.unsqueeze(1)
        return difference.nanmedian(dim=4).values, difference.isfinite().sum(dim=4)
    ratio, count = [], []
    for t in range(log.shape[1]):
        difference = log[:, t : t + 1] - log  # [B, T, C, P]
        ratio.append(difference.nanmedian(dim=3).values)
        count.append(difference.isfinite().sum(dim=3))
    return torch.stack(ratio, dim=1), torch.stack(count, dim=1)


class ExposureGain(OpModule):
    """See :func:`exposure_gain`."""

    def __init__(self, *, low: float = 0.005, high: float = 0.95, iterations: int = 4) -> None:
        super().__init__()
        self.low, self.high, self.iterations = low, high, iterations

    def forward(self, frames: Tensor, valid: Tensor | None = None) -> Tensor:
        """See :func:`exposure_gain`."""
        return exposure_gain(frames, valid, low=self.low, high=self.high, iterations=self.iterations)
