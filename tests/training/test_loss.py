"""The loss is what it says, item by item, and does not see what nobody can."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from diar_ops import psnr, ssim
from diar_ops._types import Restored
from diar_ops.training import restoration_loss
from tests.harness import assert_close, generator


def batch_of(items: int = 3, side: int = 16) -> tuple[Tensor, dict[str, Tensor]]:
    dice = generator("loss")
    label = torch.rand(items, 3, side, side, generator=dice)
    image = (label + 0.1 * torch.randn(label.shape, generator=dice)).clamp(0, 1)
    valid = torch.ones(items, 2, 1, side, side, dtype=torch.bool)
    return image, {"label": label, "valid": valid}


def test_decibels_and_similarity() -> None:
    image, batch = batch_of()
    loss = restoration_loss(Restored(image), batch, ssim_weight=0)
    assert_close(loss, -psnr(image, batch["label"]).mean(), atol=0.1)
    both = restoration_loss(Restored(image), batch, ssim_weight=5)
    assert_close(both - loss, 5 * (1 - ssim(image, batch["label"])).mean())


def test_a_perfect_picture_has_the_least_loss() -> None:
    _, batch = batch_of()
    assert_close(restoration_loss(Restored(batch["label"]), batch), -40.0)


@pytest.mark.parametrize("split", [1, 2])
def test_a_mean_over_items(split: int) -> None:
    image, batch = batch_of()
    losses = [
        restoration_loss(Restored(image[at]), {name: value[at] for name, value in batch.items()})
        for at in (slice(0, split), slice(split, 3))
    ]
    whole = restoration_loss(Restored(image), batch)
    assert_close(whole, (losses[0] * split + losses[1] * (3 - split)) / 3)


def test_pixels_that_no_frame_shows_do_not_count() -> None:
    image, batch = batch_of()
    batch["valid"][:, :, :, :4] = False
    spoiled = image.clone()
    spoiled[:, :, :4] = torch.nan
    spoiled.requires_grad_()
    loss = restoration_loss(Restored(spoiled), batch)
    loss.backward()
    assert loss.isfinite()
    assert spoiled.grad is not None
    assert (spoiled.grad[:, :, :4] == 0).all()
    assert (spoiled.grad[:, :, 4:] != 0).any()
    batch["valid"][:, 0, :, :4] = True  # one frame is enough
    assert restoration_loss(Restored(spoiled), batch).isnan()


def test_half_precision_is_measured_in_float32() -> None:
    image, batch = batch_of()
    loss = restoration_loss(Restored(image.bfloat16()), batch)
    assert loss.dtype == torch.float32
    assert_close(loss, restoration_loss(Restored(image), batch), rtol=1e-2)
