"""Light on the plane against closed forms."""

import math

import pytest
import torch

from diar_ops.cycles import blender_scene
from diar_ops.cycles.light import plane_points, unshadowed_radiance
from diar_ops.scene import LightKind, Lights, sample_planar_scene, scene_homography
from diar_ops.scene.types import SPOT_BLEND
from tests.harness import generator


def scene_with(kind, *, position, direction=(0.0, 0.0, 1.0), power=1.0, size=0.01, cone=1.0):
    scene = sample_planar_scene(1, frames=1, size=(8, 8), generator=generator("cycles-light"))
    tensor = torch.float64
    lights = Lights(
        kind=torch.tensor([[[int(kind)]]]),
        position=torch.tensor([[[position]]], dtype=tensor),
        direction=torch.tensor([[[direction]]], dtype=tensor),
        power=torch.full((1, 1, 1, 3), power, dtype=tensor),
        size=torch.full((1, 1, 1), size, dtype=tensor),
        cone=torch.full((1, 1, 1), cone, dtype=tensor),
        valid=torch.ones(1, 1, 1, dtype=torch.bool),
    )
    return scene._replace(lights=lights, ambient=torch.zeros(1, 1, 3, dtype=tensor))


def at(scene, *points):
    return unshadowed_radiance(scene, 0, torch.tensor([[*p, 0.0] for p in points]))[:, 0]


def test_point_light():
    # E = I cos / d^2 with I = power / (4 pi); radiance of white paper E / pi.
    scene = scene_with(LightKind.POINT, position=(0.0, 0.0, -2.0), power=5.0)
    result = at(scene, (0, 0), (1.5, 0))
    intensity = 5 / (4 * math.pi)
    expected = [intensity / 4 / math.pi, intensity * 2 / 2.5**3 / math.pi]
    torch.testing.assert_close(result, torch.tensor(expected))


def test_ambient_is_radiance():
    scene = scene_with(LightKind.POINT, position=(0.0, 0.0, -2.0), power=0.0)
    scene = scene._replace(ambient=torch.tensor([[[0.1, 0.2, 0.3]]], dtype=torch.float64))
    result = unshadowed_radiance(scene, 0, torch.zeros(2, 3))
    torch.testing.assert_close(result, torch.tensor([[0.1, 0.2, 0.3]]).expand(2, 3))


def test_spot_is_a_point_within_and_nothing_beyond():
    cone = math.radians(60)
    at_rim = 2 * math.tan(cone / 2)
    # Half way up smoothstep: where the cosine is half of the blend inside the rim.
    edge = math.cos(cone / 2)
    half = 2 * math.tan(math.acos(edge + (1 - edge) * SPOT_BLEND / 2))
    points = [(0, 0), (0.3, 0.2), (at_rim * 1.02, 0), (half, 0)]
    options = {"position": (0.0, 0.0, -2.0), "power": 3.0, "size": 1e-4, "cone": cone}
    spot, point = (at(scene_with(k, **options), *points) for k in (LightKind.SPOT, LightKind.POINT))
    torch.testing.assert_close(spot, point * torch.tensor([1, 1, 0, 0.5]), rtol=2e-3, atol=1e-6)


def test_blender_is_told_the_same_about_spots():
    # Its script imports nothing of ours.
    assert blender_scene.SPOT_BLEND == SPOT_BLEND


def test_area_light_against_the_form_factor_of_a_square():
    # Centre of a parallel square of half side a at height h: form factor of its corner quarters
    # (Howell, A Catalog of Radiation Heat Transfer Configuration Factors, B-3), four times.
    a, h = 0.4, 0.9
    x = a / h
    quarter = 2 * x / math.sqrt(1 + x * x) * math.atan(x / math.sqrt(1 + x * x)) / (2 * math.pi)
    power = 7.0
    # Radiance power / (pi area), irradiance pi * radiance * factor, over pi.
    expected = power / (math.pi * (2 * a) ** 2) * 4 * quarter
    scene = scene_with(LightKind.AREA, position=(0.0, 0.0, -h), power=power, size=2 * a)
    torch.testing.assert_close(at(scene, (0, 0)), torch.tensor([expected]), rtol=5e-3, atol=0)


@pytest.mark.parametrize("kind", LightKind)
def test_a_light_that_looks_away_gives_nothing(kind):
    scene = scene_with(kind, position=(0.0, 0.0, -1.0), direction=(0.0, 0.6, -0.8))
    assert bool((at(scene, (0, 0)) == 0).all()) == (kind != LightKind.POINT)


def test_plane_points_are_seen_where_their_pixels_are():
    scene = sample_planar_scene(1, frames=3, size=(6, 9), picture_size=(3, 4), generator=generator("plane-points"))
    for frame in range(3):
        points = plane_points(scene, frame).double()
        assert points.shape == (6, 9, 3)
        assert bool((points[..., 2] == 0).all())
        seen = (points @ scene.R[0, frame].T + scene.t[0, frame]) @ scene.K[0, frame].T
        seen = seen[..., :2] / seen[..., 2:]
        y, x = torch.meshgrid(torch.arange(6.0), torch.arange(9.0), indexing="ij")
        torch.testing.assert_close(seen, torch.stack((x, y), -1).double(), rtol=0, atol=1e-4)
    assert scene_homography(scene).shape == (1, 3, 3, 3)
