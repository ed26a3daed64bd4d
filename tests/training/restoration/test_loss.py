"""The loss is what it says, item by item, and does not see what nobody can."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from diar_ops import FaithfulDIAR, FaithfulDIARConfig, psnr, ssim
from diar_ops._types import Restored
from diar_ops.models.faithful.light import relight, to_light
from diar_ops.training.restoration.loss import common_light_loss, restoration_loss
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


# --- light ----------------------------------------------------------------------------------------


def lit_batch(side: int = 8) -> tuple[Restored, dict[str, Tensor]]:
    """Whole frames that the light of the output brings to the label exactly."""
    image, batch = batch_of()
    dice = generator("light")
    label = 0.3 + 0.4 * torch.rand(3, 3, side, side, generator=dice)
    gain = 0.2 * torch.randn(3, 2, 3, 1, 1, generator=dice)
    veil = 0.02 * torch.rand(3, 2, 3, 1, 1, generator=dice)
    # What relight undoes.
    frames = relight(label[:, None], -gain, -veil * (-2.4 * gain).exp())
    batch |= {
        "whole_frames": frames,
        "whole_valid": torch.ones(3, 2, 1, side, side, dtype=torch.bool),
        "whole_label": label,
    }
    return Restored(image, None, gain, veil), batch


def light_term(output: Restored, batch: dict[str, Tensor], weight: float = 20.0) -> Tensor:
    return restoration_loss(output, batch, light_weight=weight) - restoration_loss(output, batch, light_weight=0)


def test_light_that_is_told_rightly_costs_nothing() -> None:
    output, batch = lit_batch()
    assert (batch["whole_frames"] - batch["whole_label"][:, None]).abs().mean() > 0.03
    assert light_term(output, batch).abs() < 1e-4


def test_light_costs_its_mean_distance() -> None:
    output, batch = lit_batch()
    assert output.gain is not None
    assert output.veil is not None
    batch["whole_valid"][0, 1, :, :3] = False
    wrong = output._replace(gain=output.gain + 0.1)
    light = to_light(batch["whole_frames"])
    lit = light * (2.4 * wrong.gain).exp() - output.veil
    want = to_light(batch["whole_label"])
    means = []
    for item in range(3):
        known = batch["whole_valid"][item].expand(2, 3, 8, 8)
        # How much a step of light changes sRGB at the label, were it not for the darkest.
        off = (lit[item] - want[item]).abs() * (want[item] + 0.01) ** (1 / 2.4 - 1) / 2.4
        means.append(off[known].mean())
    expected = sum(means) / 3
    assert expected > 0.02
    assert_close(light_term(wrong, batch), 20 * expected)
    assert_close(light_term(wrong, batch, 7), 7 * expected)


@pytest.mark.parametrize("everything", [False, True])
def test_light_of_pixels_that_are_not_valid_does_not_count(everything: bool) -> None:
    output, batch = lit_batch()
    rows = slice(None) if everything else slice(0, 3)
    batch["whole_valid"][1, 0, :, rows] = False
    batch["whole_frames"][1, 0, :, rows] = 0  # as the small copies have it
    assert light_term(output, batch).abs() < 1e-4
    if everything:
        batch["whole_valid"][:] = False
        assert light_term(output, batch) == 0


def test_networks_that_tell_no_light_have_no_such_term() -> None:
    output, batch = lit_batch()
    wrong = output._replace(gain=output.gain + 0.1)
    assert light_term(wrong, batch) > 0.3
    for silent in (wrong._replace(gain=None), wrong._replace(veil=None), Restored(output.image)):
        assert light_term(silent, batch) == 0
    # Nor do they need small copies.
    image, plain = batch_of()
    assert restoration_loss(Restored(image), plain, light_weight=20).isfinite()


class Teller(torch.nn.Module):
    """A CommonLight that says what it was given to say, and keeps what it was asked."""

    def __init__(self, told: Tensor) -> None:
        super().__init__()
        self.told, self.asked = told, torch.empty(0)

    def forward(self, relative: Tensor, seen: Tensor | None = None) -> Tensor:
        self.asked = relative
        return self.told


def test_common_light_that_is_told_rightly_costs_nothing() -> None:
    network = FaithfulDIAR(FaithfulDIARConfig(8, 1, 8, 4, 8, 1, 2))
    bare = 0.3 * torch.randn(2, 4, 3, 3, 8, 8, generator=generator("bare"))
    common = bare.mean(2).flatten(0, 1)
    network.common_light = teller = Teller(common)  # type: ignore[assignment]
    assert common_light_loss(network, bare).abs() < 1e-6
    # It was asked what frames tell: how they differ.
    assert teller.asked.shape == (8, 3, 3, 8, 8)
    assert teller.asked.mean(1).abs().max() < 1e-6
    assert_close(teller.asked + common[:, None], bare.flatten(0, 1))
    teller.told = common + 0.1 * torch.tensor([1.0, -1.0, 0.0]).view(3, 1, 1)
    assert_close(common_light_loss(network, bare), 40 * 0.2 / 3)
    assert_close(common_light_loss(network, bare, weight=3), 0.2)


def test_common_light_is_learned_from_bare_light() -> None:
    network = FaithfulDIAR(FaithfulDIARConfig(8, 1, 8, 4, 8, 1, 2))
    bare = 0.3 * torch.randn(1, 2, 3, 3, 8, 8, generator=generator("bare"))
    common_light_loss(network, bare).backward()
    reached = {name for name, p in network.named_parameters() if p.grad is not None}
    assert reached == {name for name, _ in network.named_parameters() if "common_light." in name}


def test_a_veil_too_strong_costs_as_much_as_one_too_weak() -> None:
    """Also where it would be darker than black: there is no favoured side to err on."""
    output, batch = lit_batch()
    assert output.veil is not None
    # Darker than the steps that follow.
    batch["whole_label"] = torch.full_like(batch["whole_label"], 0.02)
    assert output.gain is not None
    batch["whole_frames"] = relight(
        batch["whole_label"][:, None], -output.gain, -output.veil * (-2.4 * output.gain).exp()
    )
    costs = [light_term(output._replace(veil=output.veil + step), batch) for step in (0.02, -0.02)]
    assert costs[0] > 0.5
    assert_close(costs[0], costs[1], rtol=1e-3)
