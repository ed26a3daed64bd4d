"""How good a network is on sequences that it was not trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from diar_ops.metrics import colour_gain, psnr, ssim
from diar_ops.training.restoration.augment import ideal_photos
from diar_ops.training.restoration.dataset import Source

__all__ = ["SCORES", "ValidationItem", "score_network", "validation_items"]

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
        taken = source.take(index, range(source.frames))
        frames = ideal_photos(taken.pictures) if taken.light else taken.pictures
        items.append(ValidationItem(_bytes(frames), _bytes(taken.label)))
    return items


@torch.no_grad()
def score_network(
    network: nn.Module, items: Sequence[ValidationItem], *, device: torch.device | str = "cpu"
) -> Tensor:
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
        truth = label[None].to(device).float() / 255
        shown = torch.ones_like(truth[:, :1], dtype=torch.bool)
        image = image.float().clamp(0, 1)
        fitted = (image * colour_gain(image, truth, shown)).clamp(0, 1)
        values = psnr(image, truth), psnr(fitted, truth), ssim(image, truth)
        row.copy_(torch.cat(values))
    return scores


def mean_scores(scores: Mapping[str, Tensor]) -> dict[str, float]:
    """Return the mean of every score over the items of every set, by ``set_score``."""
    return {
        f"{name}_{score}": float(value)
        for name, table in scores.items()
        for score, value in zip(SCORES, table.mean(dim=0), strict=True)
    }


def _bytes(picture: Tensor) -> Tensor:
    return (picture * 255).round().to(torch.uint8)
