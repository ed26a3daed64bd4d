"""Lights are sampled as SceneRanges says."""

from __future__ import annotations

import math

import pytest
import torch

from diar_ops.scene import LightKind, PlanarScene, SceneRanges, sample_planar_scene
from tests.harness import assert_close, generator
from tests.scene.sample.checks import RANGES, assert_within, centres


def test_lights_are_as_bright_as_stated(scene: PlanarScene) -> None:
    """Each light's irradiance at the place that it aims at, over pi, sums to the radiance."""
    lights = scene.lights
    reach = -lights.position[..., 2] / lights.direction[..., 2]
    cosine = lights.direction[..., 2].clamp_min(0.3)
    area = lights.kind == LightKind.AREA
    intensity = lights.power / torch.where(area, math.pi, 4 * math.pi)[..., None]
    radiance = intensity * (cosine / reach.square() / math.pi)[..., None]
    total = (radiance * lights.valid[..., None]).sum(dim=2)
    low, high = RANGES.light_radiance
    assert_within(total, (low * (1 - RANGES.tint), high * (1 + RANGES.tint)), used=0.7)
    assert_within(-lights.position[..., 2], RANGES.light_height)
    for kinds, bounds in ((area, RANGES.light_side), (~area, RANGES.light_radius)):
        assert_within(lights.size[kinds], bounds)
    assert_within(lights.cone.rad2deg(), RANGES.light_cone)
    assert_close(lights.direction.norm(dim=-1), torch.ones_like(lights.cone))
    low, high = RANGES.ambient
    assert_within(scene.ambient, (low * (1 - RANGES.tint), high * (1 + RANGES.tint)), used=0.7)


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0.3, 0.5), (0.4, 0.55, 0.7), (1.0, 1, 1)])
def test_lights_are_mirrored_into_view(share: float, least: float, most: float) -> None:
    """The picture, were it a mirror, would show them: some always, others by chance."""
    scene = sample_planar_scene(200, frames=6, generator=generator("lights"), ranges=SceneRanges(light_mirrored=share))
    camera, light = centres(scene)[:, :, None], scene.lights.position
    # The straight line from the camera to the light behind the mirror meets the plane here.
    way = camera[..., 2:] / (camera[..., 2:] + light[..., 2:])
    hit = (camera + way * (light - camera))[..., :2].abs()
    seen = (hit <= 0.5 + 1e-9).all(-1)[scene.lights.valid].double().mean()
    assert least <= seen <= most
