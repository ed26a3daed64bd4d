"""Scores are those of the project's metrics, for every sequence by itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from diar_ops import psnr, ssim
from diar_ops._types import Restored
from diar_ops.metrics import colour_gain
from diar_ops.training.restoration.validation import ValidationItem, score_network, validation_items
from tests.harness import assert_close
from tests.training.restoration.tiny import LightSource


class FirstFrame(nn.Module):
    def forward(self, frames: Tensor, valid: Any = None, *, whole: Any = None) -> Restored:
        return Restored(frames[:, 0])


def test_whole_sequences_in_eight_bits() -> None:
    items = validation_items(LightSource(count=3, side=20, frames=4), 2)
    assert len(items) == 2
    assert len(validation_items(LightSource(count=3), 7)) == 3
    frames, label = items[1]
    assert (frames.shape, label.shape) == ((4, 3, 20, 20), (3, 20, 20))
    assert frames.dtype == label.dtype == torch.uint8
    # Brighter and brighter, the last frames clipped.
    assert (frames.float().mean(dim=(1, 2, 3)).diff() > 0).all()


def test_scores_of_every_sequence() -> None:
    items = validation_items(LightSource(), 2)
    items.append(ValidationItem(items[0].frames[:2, :, :16], items[0].label[:, :16]))
    scores = score_network(FirstFrame(), items)
    assert scores.shape == (3, 3)
    for row, (frames, label) in zip(scores, items, strict=True):
        image, truth = frames[:1].float() / 255, label[None].float() / 255
        shown = torch.ones_like(truth[:, :1], dtype=torch.bool)
        fitted = (image * colour_gain(image, truth, shown)).clamp(0, 1)
        expected = psnr(image, truth), psnr(fitted, truth), ssim(image, truth)
        assert_close(row, torch.cat(expected), rtol=1e-5)
    assert (scores[:, 1] > scores[:, 0] + 3).all()  # only the brightness is wrong
