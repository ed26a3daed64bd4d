"""Losses of restored pictures."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from diar_ops._types import Restored
from diar_ops.colour import GAMMA
from diar_ops.metrics import ssim
from diar_ops.models import FaithfulDIAR, sample_field
from diar_ops.models.faithful.light import to_light

#: Keeps the logarithm of the error finite; 40 dB are as good as perfect.
FLOOR = 1e-4
#: Light below this counts as if sRGB were no steeper there.
DARK = 0.01


def restoration_loss(
    output: Restored, batch: Mapping[str, Tensor], *, ssim_weight: float = 5.0, light_weight: float = 20.0
) -> Tensor:
    r"""Return the mean over items of :math:`10 \log_{10}(MSE + 10^{-4}) + w (1 - SSIM)`, in dB.

    The mean of decibels, as the mean PSNR is, and not of the error, which the worst items would
    rule.
    Pixels that no frame shows do not count.

    Args:
        output: What a network made of a batch of :class:`TrainingSequences`.
        batch: The batch: ``label`` (B, 3, H, W) and ``valid`` (B, T, 1, H, W).
        ssim_weight: Weight w, in dB.
        light_weight: Weight, in dB, of the mean distance of the small copies of the frames, brought
            to the picture's light, from the picture's; for networks that tell the light. It is
            taken in light, times how steep sRGB is at the picture. What is occluded or glares
            cannot agree, and an absolute distance lets it be outvoted.

    Returns:
        A scalar, in float32 at least; a mean over items, so that batches can be split.
    """
    label = batch["label"]
    shown = batch["valid"].any(dim=1)
    image = torch.where(shown, output.image.to(label.dtype), label)
    mse = (image - label).square().flatten(1).mean(dim=1)
    loss = 10 * (mse + FLOOR).log10()
    if ssim_weight > 0:
        loss = loss + ssim_weight * (1 - ssim(image, label))
    if light_weight > 0 and output.gain is not None and output.veil is not None:
        frames, target = batch["whole_frames"], to_light(batch["whole_label"])[:, None]
        size = (frames.shape[-2], frames.shape[-1])
        light = to_light(frames, sample_field(output.gain, size), sample_field(output.veil, size))
        # Not in sRGB, which is steepest below black: a veil would rather be too weak.
        steepness = (target + DARK) ** (1 / GAMMA - 1) / GAMMA
        error = steepness * (light - target).abs() * batch["whole_valid"]
        count = 3 * batch["whole_valid"].flatten(1).sum(dim=1).clamp_min(1)
        loss = loss + light_weight * error.flatten(1).sum(dim=1) / count
    return loss.mean()


def common_light_loss(network: FaithfulDIAR, bare: Tensor, *, weight: float = 40.0) -> Tensor:
    """Return the error of the common light that a network estimates of bare sequences, in dB.

    Args:
        network: The network.
        bare: (B, N, T, 3, 8, 8) of :func:`bare_light`; frames differ as an estimate would have it.
        weight: Of the mean absolute distance of log factors.
    """
    logs = bare.flatten(0, 1)
    common = logs.mean(1, keepdim=True)
    estimate: Tensor = network.common_light(logs - common)
    error: Tensor = (estimate - common[:, 0]).abs().mean()
    return weight * error
