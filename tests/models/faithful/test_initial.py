"""Before any training the network restores what frames of equal brightness agree on."""

from __future__ import annotations

import torch
from torch import Tensor

from diar_ops.models import FaithfulDIAR
from diar_ops.models.faithful.light import MOST_HAZE, USUAL_HAZE
from tests.harness import assert_close
from tests.models.restorers import overfit, sequence


def default() -> FaithfulDIAR:
    """The network of default sizes, as training starts from it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return FaithfulDIAR()


def lit_alike() -> tuple[Tensor, Tensor]:
    """A picture (1, 3, H, W) and five frames of it that differ in brightness alone."""
    colours, _ = sequence("start", 1, 1, 32, 32)
    picture = (0.2 + 0.3 * colours[:, 0]).float()
    factors = torch.tensor([-0.25, -0.1, 0.0, 0.1, 0.25]).view(1, 5, 1, 1, 1)
    return picture, (picture[:, None] + 0.055) * factors.exp() - 0.055


@torch.no_grad()
def test_the_start_is_what_frames_of_equal_brightness_agree_on() -> None:
    built, (picture, frames) = default(), lit_alike()
    spoiled = frames.clone()
    places = [(slice(4, 12), slice(4, 12)), (slice(16, 24), slice(8, 20))]
    for t, value, (rows, columns) in zip((1, 4), (1.0, 0.02), places, strict=True):
        spoiled[:, t, :, rows, columns] = value
    first, restored = built(frames), built(spoiled)
    assert_close(first.weights, torch.full_like(first.weights, 1 / 5), atol=0.05)
    for t, (rows, columns) in zip((1, 4), places, strict=True):
        assert restored.weights[:, t, :, rows, columns].mean() < 0.02
        assert restored.weights[:, t, :, rows, columns].max() < 0.2
    # A first guess at common light and haze and small random fields lie on it.
    assert (first.image - picture).abs().mean() < 0.15
    # Without them it is the picture itself, with what lies on some frames and without.
    for layer in (built.light, built.shared, built.detail, built.correction, built.haze):
        layer.weight.zero_()
    built.haze.bias.fill_(-50)
    for values in built.common_light.tell[-1].parameters():
        values.zero_()
    assert (built(frames).image - picture).abs().max() < 0.003
    off = (built(spoiled).image - picture).abs()
    plain = (spoiled.mean(dim=1) - picture).abs()
    rows, columns = places[0]  # the glare; what to make of the dark spot, light must learn
    assert off[..., rows, columns].mean() < 0.5 * plain[..., rows, columns].mean()


@torch.no_grad()
def test_the_start_takes_the_usual_veil_off_but_little_of_black() -> None:
    built, (_, frames) = default(), lit_alike()
    for layer in (built.light, built.shared, built.haze):
        layer.weight.zero_()
    for values in built.common_light.tell[-1].parameters():
        values.zero_()
    restored = built(frames)
    assert restored.gain is not None
    assert restored.veil is not None
    lit = ((frames + 0.055) / 1.055 * restored.gain[..., :1, :1].exp()) ** 2.4
    most = MOST_HAZE * lit.amin((3, 4), keepdim=True)
    usual = most * USUAL_HAZE / (most.square() + USUAL_HAZE**2).sqrt()
    assert_close(restored.veil, usual.expand_as(restored.veil), rtol=0.02)
    # Four black pixels say that there is none.
    frames[..., 4:6, 6:8] = 0
    common = restored.gain.mean((1, 3, 4), keepdim=True)
    black = MOST_HAZE * (0.055 / 1.055 * common.exp()) ** 2.4
    assert (built(frames).veil <= 1.2 * black).all()


@torch.no_grad()
def test_frames_alone_cannot_change_the_brightness_of_the_picture() -> None:
    """What each frame says of its own light is taken relative to what all say."""
    built, (_, frames) = default(), lit_alike()
    before = built(frames)
    built.light.bias.view(6, 4)[:3] += 0.4
    after = built(frames)
    assert before.gain is not None
    assert after.gain is not None
    assert_close(after.gain, before.gain, atol=1e-5)


def test_the_size() -> None:
    assert 1_000_000 < sum(p.numel() for p in default().parameters()) < 1_700_000


def test_overfits_one_example() -> None:
    """The default sizes start where they can learn: a spoiled picture is learnt in a few steps."""
    built = default()
    losses = overfit(built, steps=25)
    assert losses[0] > 0.01
    assert losses[-1] < losses[0] / 4
