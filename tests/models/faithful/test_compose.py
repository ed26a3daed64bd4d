"""The picture is explained by weights, light and bounded corrections."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from diar_ops.models.faithful.light import MOST_CORRECTION, MOST_DETAIL, MOST_LIGHT, whole_view
from tests.harness import assert_close, generator
from tests.models.faithful.small import known, network
from tests.models.restorers import sequence


def test_weights_are_convex() -> None:
    frames, valid = sequence("convex", 2, 4, 19, 13, share_valid=0.4)
    valid[:, 0] = torch.rand(2, 1, 19, 13, generator=generator("holes")) < 0.5
    restored = network()(frames, valid)
    shown = valid.any(dim=1)
    assert not shown.all()
    assert restored.weights.min() >= 0
    assert_close(restored.weights.sum(dim=1), shown.double())
    assert not restored.weights[~valid].any()
    assert not restored.image[~shown.expand_as(restored.image)].any()
    assert restored.image.min() >= 0
    assert restored.image.max() <= 1
    spread = restored.weights.amax(dim=1) - restored.weights.amin(dim=1)
    assert spread.max() > 0.2, "weights that are all equal would prove little"


def relight_by_hand(values: Tensor, gain: Tensor, veil: Tensor) -> Tensor:
    """Multiply light and take a veil off it, but leave no less than black."""
    light = ((values + 0.055) / 1.055 * gain.exp()) ** 2.4 - veil
    return 1.055 * light.clamp_min((0.055 / 1.055) ** 2.4) ** (1 / 2.4) - 0.055


def upsample(x: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(x, (height, width), mode="bilinear", align_corners=False)


@pytest.mark.parametrize("size", [(1, 1), (8, 16), (11, 21)])
@torch.no_grad()
def test_the_picture_by_hand(size: tuple[int, int]) -> None:
    """From weights, gain, veil, detail and correction, pixel by pixel."""
    frames, valid = known(*sequence("by hand", 2, 3, *size))
    valid[1, :, :, 0, 0] = False
    frames, valid = known(frames, valid)
    built = network()
    restored = built(frames, valid)
    light = built.estimate_light(*whole_view(frames, valid)[:2])
    evidence = built.score_pixels(frames, valid, light)
    assert torch.equal(restored.gain, light.gain)
    assert torch.equal(restored.veil, light.veil)
    height, width = size
    padded = [8 * -(-n // 8) for n in size]
    for item in range(2):
        gain, veil = upsample(light.gain[item], *size), upsample(light.veil[item], *size)
        detail = upsample(evidence.detail[item], *padded)[..., :height, :width]
        correction = upsample(evidence.correction[item : item + 1], *padded)[0]
        for y in range(height):
            for x in range(width):
                total, mean = torch.zeros(2, 3, dtype=torch.float64)
                for t in range(3):
                    if not valid[item, t, 0, y, x]:
                        continue
                    share = evidence.score[item, t, 0, y, x].exp()
                    more, less = detail[t, :, y, x].split(3)
                    pixel = relight_by_hand(frames[item, t, :, y, x], gain[t, :, y, x] + more, veil[t, :, y, x] + less)
                    total, mean = total + share, mean + share * pixel
                if not total.any():
                    assert not restored.image[item, :, y, x].any()
                    continue
                for t in range(3):
                    share = evidence.score[item, t, 0, y, x].exp() / total[0]
                    share = share * valid[item, t, 0, y, x]
                    assert_close(restored.weights[item, t, 0, y, x], share)
                picture = relight_by_hand(mean / total, *correction[:, y, x].split(3))
                assert_close(restored.image[item, :, y, x], picture.clamp(0, 1))


def test_fields_are_bounded() -> None:
    """Whatever the parameters: what is not a weight can shade, and no more than so much."""
    frames, valid = known(*sequence("bounds", 2, 3, 16, 24))
    wild = network(noise=3)
    light = wild.estimate_light(*whole_view(frames, valid)[:2])
    evidence = wild.score_pixels(frames, valid, light)
    assert evidence.detail.shape == (2, 3, 6, 2, 3)
    assert evidence.correction.shape == (2, 6, 2, 3)
    pairs = (
        ((light.gain, light.veil), MOST_LIGHT),
        (evidence.detail.chunk(2, dim=2), MOST_DETAIL),
        (evidence.correction.chunk(2, dim=1), MOST_CORRECTION),
    )
    for both, bounds in pairs:
        for values, most in zip(both, bounds, strict=True):
            assert 0.9 * most < values.abs().max() <= most


def test_a_picture_beyond_white_can_come_back() -> None:
    frames = torch.full((1, 2, 3, 8, 8), 0.99, dtype=torch.float64).requires_grad_()
    built = network(noise=0)
    with torch.no_grad():
        built.correction.bias[:3] = 2
    image = built(frames).image
    assert (image == 1).all()
    image.sum().backward()
    assert built.correction.bias.grad is not None
    assert (built.correction.bias.grad[:3] > 0).all()  # more light
    assert (built.correction.bias.grad[3:] < 0).all()  # less taken off
