"""An ideal camera clips, codes and rounds, and does so fast for half precision."""

from __future__ import annotations

import torch

from diar_ops.colour import linear_to_srgb
from diar_ops.training.camera import ideal_photos
from tests.harness import assert_close, generator


def test_an_ideal_camera_clips_codes_and_rounds() -> None:
    light = torch.tensor([-1.0, 0.0, 0.2, 1.0, 7.0])
    photo = ideal_photos(light)
    assert_close(photo, linear_to_srgb(light.clamp(0, 1)), atol=0.5 / 255 + 1e-6)
    assert torch.equal(photo * 255, (photo * 255).round())


def test_halves_are_looked_up() -> None:
    light = torch.rand(3, 160, 160, generator=generator("halves")).half() * 1.5 - 0.1
    light[0, 0, :3] = torch.tensor([torch.inf, -torch.inf, -0.0])
    for factor in (1.0, 0.7):
        photo = ideal_photos(light, factor)
        assert photo.dtype == torch.float32
        assert torch.equal(photo, ideal_photos(light.float(), factor))
