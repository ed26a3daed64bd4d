"""Bare light is what the renderer's light does to a grey, whichever grey, and nothing else."""

from __future__ import annotations

import importlib
import math
from functools import partial

import pytest
import torch
from torch import Tensor

from diar_ops.colour import srgb_to_linear
from diar_ops.scene import SceneRanges
from diar_ops.training.restoration.bare_light import DARKEST, bare_light
from tests.harness import assert_close, generator

module = importlib.import_module("diar_ops.training.restoration.bare_light")


def draw(name: str = "bare light", count: int = 4, frames: int = 3) -> Tensor:
    return bare_light(count, frames, generator(name))


@pytest.mark.parametrize(("count", "frames"), [(0, 3), (1, 1), (3, 5)])
def test_shapes(count: int, frames: int) -> None:
    light = draw(count=count, frames=frames)
    assert light.shape == (count, frames, 3, 8, 8)
    assert light.dtype == torch.float32
    assert light.isfinite().all()


def test_it_depends_on_the_generator_alone() -> None:
    before = torch.get_rng_state()
    assert torch.equal(draw(), draw())
    assert not torch.equal(draw(), draw("another light"))
    assert torch.equal(torch.get_rng_state(), before)
    dice = generator("goes on")
    assert not torch.equal(bare_light(2, 2, dice), bare_light(2, 2, dice))


@pytest.mark.parametrize("grey", [0.4, 0.9])
def test_the_grey_hardly_matters(monkeypatch: pytest.MonkeyPatch, grey: float) -> None:
    """Matte paper too reflects a little, which weighs more beside a dark grey."""
    expected = draw()
    monkeypatch.setattr(module, "GREY", grey)
    change = (draw() - expected).abs()
    assert change.max() < 0.06
    assert change.mean() < 0.03
    logs = srgb_to_linear(torch.tensor([grey, 0.7])).log() / 2.4
    assert logs.diff().abs() > 0.2, "light that was not divided by the grey would differ by this"


def test_surroundings_alone_light_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    """With lamps of next to no light, nothing is left but what comes from everywhere."""
    dark = partial(SceneRanges, light_radiance=(1e-7,) * 2, ambient=(0.2,) * 2, tint=0)
    monkeypatch.setattr(module, "SceneRanges", dark)
    light = draw()
    assert_close(light, torch.full_like(light, -math.log(0.2) / 2.4), atol=0.01)


def test_brighter_lamps_need_smaller_factors(monkeypatch: pytest.MonkeyPatch) -> None:
    """What multiplies light multiplies values + 0.055 by its 2.4th root."""
    monkeypatch.setattr(module, "DARKEST", 1e-12)
    light = []
    for radiance in (0.5, 1.0):
        ranges = partial(SceneRanges, light_radiance=(radiance,) * 2, ambient=(1e-7, 1e-7), tint=0)
        monkeypatch.setattr(module, "SceneRanges", ranges)
        light.append(draw())
    dark, bright = light
    lit = bright < 1.3  # no pixel of the cell is beyond the rim of a spot
    assert lit.float().mean() > 0.5
    assert_close((dark - bright)[lit], torch.full_like(dark[lit], math.log(2) / 2.4), atol=0.01)


def test_light_as_it_is_in_the_sequences_that_are_trained_on() -> None:
    light = draw("statistics", 150, 4)
    assert light.max() <= -math.log(DARKEST) / 2.4 + 1e-5
    assert -0.1 < light.mean() < 0.3
    assert 0.1 < light.std() < 0.4
    # Frames have lights of their own, which are not even.
    assert light.std(1).mean() > 0.05
    assert light.std((3, 4)).mean() > 0.03
    # Channels differ by tints, and less than places and frames do.
    assert 0.005 < light.std(2).mean() < light.std(1).mean()
