"""Tone curves are medians within tones of the median; veils follow from a set of them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from diar_ops.models.faithful.tone import EDGES, TONES, ToneVeil, tone_curves
from tests.harness import assert_close, generator


def planes(name: str, side: int = 20) -> tuple[Tensor, Tensor, Tensor]:
    """Distances (2, 3, 6, H, W), logs of the median, and masks."""
    dice = generator(name)
    apart = 0.2 * torch.randn(2, 3, 6, side, side, generator=dice, dtype=torch.float64)
    middle = torch.randn(2, 1, 3, side, side, generator=dice, dtype=torch.float64)
    valid = torch.rand(2, 3, 1, side, side, generator=dice) < 0.8
    return apart, middle, valid


def test_curves_against_a_loop() -> None:
    apart, middle, valid = planes("curves")
    valid[:, :, :, 0] = False  # a row that no frame shows
    curve, level = tone_curves(apart, middle, valid)
    assert curve.shape == (2, 3, 6, TONES)
    assert level.shape == (2, 1, 3, TONES)
    for b in range(2):
        grey = middle[b, 0].mean(0)
        grey = torch.where(valid[b].any(0)[0], grey, torch.inf).flatten()
        order = grey.argsort()
        for n in range(TONES):
            inside = order[round(EDGES[n] * 400) : round(EDGES[n + 1] * 400)]
            shown = grey[inside].isfinite()
            assert_close(level[b, 0, :, n], middle[b, 0].flatten(1)[:, inside[shown]].median(1)[0])
            for t in range(3):
                known = inside[valid[b, t].flatten()[inside]]
                assert_close(curve[b, t, :, n], apart[b, t].flatten(1)[:, known].median(1)[0])


def test_a_veil_bends_the_curve_of_its_frame() -> None:
    """Darks are brightened more than brights; what stands in front does not matter."""
    albedo = torch.rand(1, 1, 3, 40, 40, generator=generator("bend"), dtype=torch.float64)
    veil = torch.tensor([0.0, 0.02, 0.05], dtype=torch.float64)[None, :, None, None, None]
    logs = (albedo + 0.02 + veil).log() / 2.4
    middle = logs.median(dim=1, keepdim=True).values
    logs[:, :, :, :12] = 0.3  # a bright thing before a third of the picture
    curve, _ = tone_curves(logs - middle, middle, torch.ones(1, 3, 1, 40, 40, dtype=torch.bool))
    darks, brights = curve[0, :, :, 1].mean(1), curve[0, :, :, -1].mean(1)
    assert darks[0] < -0.03
    assert darks[2] > 0.03
    assert brights.abs().max() < 0.02


@pytest.mark.parametrize("side", [1, 2, 3])
def test_few_pixels_and_none_shown(side: int) -> None:
    apart, middle, _ = planes("few", side)
    for valid in (torch.ones, torch.zeros):
        mask = valid(2, 3, 1, side, side).bool()
        for result in tone_curves(apart, middle, mask):
            assert result.isfinite().all()
            assert bool(result.any()) == bool(mask.any())


def network() -> ToneVeil:
    """Its last layers begin as zero; here they say something."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        built = ToneVeil(16)
        for layer in (built.haze, built.common):
            torch.nn.init.normal_(layer.weight, std=0.3)
    return built.double()


def curves(name: str, frames: int) -> tuple[Tensor, Tensor]:
    dice = generator(name)
    curve = 0.2 * torch.randn(2, frames, 6, TONES, generator=dice, dtype=torch.float64)
    return curve, torch.randn(2, 1, 3, TONES, generator=dice, dtype=torch.float64)


def test_it_begins_as_nothing() -> None:
    curve, level = curves("start", 3)
    for said in ToneVeil(16).double()(curve, level):
        assert (said == 0).all()


@pytest.mark.parametrize("frames", [1, 2, 10])
@torch.no_grad()
def test_a_set_of_frames(frames: int) -> None:
    curve, level = curves("set", frames)
    haze, common = network()(curve, level)
    assert haze.shape == (2, frames, 3)
    assert common.shape == (2, 1, 3)
    order = torch.randperm(frames, generator=generator("order"))
    again = network()(curve[:, order], level)
    assert_close(again[0], haze[:, order])
    assert_close(again[1], common)


@torch.no_grad()
def test_frames_that_do_not_count_have_no_influence() -> None:
    curve, level = curves("unseen", 3)
    more = torch.full((2, 5, 6, TONES), 50.0, dtype=torch.float64)
    more[:, [0, 2, 3]] = curve
    seen = torch.tensor([[True, False, True, True, False]]).expand(2, 5)
    haze, common = network()(more, level, seen)
    expected = network()(curve, level)
    assert_close(haze[:, [0, 2, 3]], expected[0])
    assert_close(common, expected[1])


def test_gradients_reach_every_layer() -> None:
    curve, level = curves("gradients", 4)
    built = network()
    haze, common = built(curve, level)
    (haze.square().sum() + common.square().sum()).backward()
    for name, parameter in built.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
