"""Scores of a network on sequences that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from diar_ops.metrics import colour_gain, psnr, ssim
from diar_ops.training.camera import ideal_photos
from diar_ops.training.restoration.dataset import Source

#: What is measured; ``psnr_gain`` after one least-squares factor per channel.
SCORES = ("psnr", "psnr_gain", "ssim")


class ValidationItem(NamedTuple):
    """One whole sequence, exactly aligned."""

    frames: Tensor  #: (T, 3, H, W) uint8
    label: Tensor  #: (3, H, W) uint8


def validation_items(source: Source, count: int) -> list[ValidationItem]:
    """Read the first sequences of a source, all frames of each, as an ideal camera sees them.

    Kept in 8 bits, which is what they are.
    """
    items = []
    for index in range(min(count, len(source))):
        pictures, label, is_light = source.read(index, range(source.frames))
        frames = ideal_photos(pictures) if is_light else pictures
        items.append(ValidationItem(_to_uint8(frames), _to_uint8(label)))
    return items


@torch.no_grad()
def score_network(network: nn.Module, items: Sequence[ValidationItem], *, device: torch.device | str = "cpu") -> Tensor:
    """Measure a network on sequences, one after the other.

    Args:
        network: ``forward(frames)`` returns a :class:`Restored`; put it into eval mode.
        items: Sequences of any sizes and lengths.
        device: Where the network is.

    Returns:
        (items, 3) float64: :data:`SCORES` of each.
    """
    scores = torch.zeros(len(items), len(SCORES), dtype=torch.float64)
    for row, (frames, label) in zip(scores, items, strict=True):
        image = network(frames[None].to(device).float() / 255).image
        target = label[None].to(device).float() / 255
        everywhere = torch.ones_like(target[:, :1], dtype=torch.bool)
        image = image.float().clamp(0, 1)
        fitted = (image * colour_gain(image, target, everywhere)).clamp(0, 1)
        values = psnr(image, target), psnr(fitted, target), ssim(image, target)
        row.copy_(torch.cat(values))
    return scores


def _to_uint8(picture: Tensor) -> Tensor:
    return (picture * 255).round().to(torch.uint8)
