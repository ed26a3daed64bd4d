"""Light on the plane, against closed forms."""

from __future__ import annotations

import math

import torch

from diar_ops import render_planar_scene
from tests.harness import assert_close
from tests.scene.render.scenes import MIRRORING, grey, make_light, make_object, make_scene, positions, white


def test_point_light() -> None:
    """Inverse square and cosine; a sphere's irradiance is that of its centre."""
    scene = make_scene([make_light("point", [0.2, -0.1, -0.8], size=0.1)])
    x, y = positions(scene)
    square = (x - 0.2) ** 2 + (y + 0.1) ** 2 + 0.64
    expected = 10 / (4 * math.pi) * 0.8 / square**1.5 / math.pi
    assert_close(grey(render_planar_scene(white(), scene)), expected)


def test_spot() -> None:
    """A spot is a point light within its cone, fading over 15 % of 1 - cos(cone / 2)."""
    at = [0.0, 0.0, -1.0]
    point = grey(render_planar_scene(white(), make_scene([make_light("point", at, size=1e-4)])))
    scene = make_scene([make_light("spot", at, size=1e-4, cone=0.8)])
    x, y = positions(scene)
    cosine = 1 / (1 + x * x + y * y).sqrt()
    edge = math.cos(0.4)
    step = ((cosine - edge) / (0.15 * (1 - edge))).clamp(0, 1)
    expected = point * step**2 * (3 - 2 * step)
    assert_close(grey(render_planar_scene(white(), scene)), expected, atol=1e-4)
    assert 0.2 < (expected > 0).double().mean() < 0.8


def test_square_light() -> None:
    """Against a sum over 200 x 200 points of a square that lies askew."""
    light = make_light("area", [0.5, 0.2, -0.7], size=0.8)
    scene = make_scene([light], size=(8, 8))
    x, y = positions(scene)
    z = torch.tensor(light["direction"])
    k = 1 / (1 + z[2])
    right = torch.tensor([1 - k * z[0] ** 2, -k * z[0] * z[1], -z[0]]).double()
    down = torch.tensor([-k * z[0] * z[1], 1 - k * z[1] ** 2, -z[1]]).double()
    step = ((torch.arange(200) + 0.5) / 200 - 0.5).double() * 0.8
    sources = torch.tensor(light["position"]).double() + (step[:, None, None] * right + step[:, None] * down)
    toward = sources.reshape(-1, 3) - torch.stack((x, y, 0 * x), dim=-1).reshape(-1, 1, 3)
    distance = toward.norm(dim=-1)
    emitted = -(toward @ z.double()) / distance
    irradiance = (10 / math.pi * emitted * -toward[..., 2] / distance**3).mean(-1)
    expected = (irradiance / math.pi).reshape(8, 8)
    assert_close(grey(render_planar_scene(white(), scene)), expected, rtol=6e-3)


def test_far_square_is_a_point() -> None:
    far, power = [0.0, 0.0, -30.0], [4000.0] * 3
    square = make_scene([make_light("area", far, size=0.5, power=power)])
    # A square sends power / pi ahead, a point power / (4 pi) all around.
    point = make_scene([make_light("point", far, power=[4 * p for p in power])])
    images = [grey(render_planar_scene(white(), scene)) for scene in (square, point)]
    assert_close(images[0], images[1], rtol=1e-3)


def test_highlight() -> None:
    """A sphere is mirrored where angles are equal, as large as its image, F times as bright."""
    radius, at = 0.08, (0.3, 0.1, -1.0)
    material = {**MIRRORING, "roughness": 0.02}
    scene = make_scene([make_light("point", list(at), size=radius)], material=material, size=(256, 256))
    image = grey(render_planar_scene(white(level=0.0), scene))
    x, y = positions(scene)
    bright = image > 0.5 * image.max()
    assert abs(float(x[bright].mean()) - at[0] * 2 / 3) < 0.003
    assert abs(float(y[bright].mean()) - at[1] * 2 / 3) < 0.003
    # The image is one behind the plane, at distance 3 from the camera, seen through z = 0.
    area = float(bright.sum()) / 256**2
    assert abs(area / (math.pi * (radius * 2 / 3) ** 2) - 1) < 0.06
    radiance = 10 / (4 * math.pi**2 * radius**2)
    assert abs(float(image.max()) / (0.04 * radiance) - 1) < 0.03


def test_rough_highlight_keeps_energy() -> None:
    """The lobe spreads as it gets rougher: lower and wider, never brighter."""
    peaks = []
    for roughness in (0.1, 0.3, 0.5):
        material = {**MIRRORING, "roughness": roughness}
        scene = make_scene([make_light("point", [0.0, 0.0, -1.0], size=0.02)], material=material)
        peaks.append(float(grey(render_planar_scene(white(level=0.0), scene)).max()))
    # GGX's peak is 1 / (pi alpha^2) where the light is much smaller than the lobe.
    assert peaks[0] > peaks[1] > peaks[2]
    assert abs(peaks[1] / peaks[2] / (0.5 / 0.3) ** 4 - 1) < 0.05


def test_light_adds_up() -> None:
    """On the plane, two lights together give the sum of each alone."""
    lights = [make_light("point", [0.3, 0.0, -1.0], size=0.05), make_light("area", [-0.3, 0.2, -0.8], size=0.3)]
    items = [make_object("box", [0.0, 0.0, -0.3])]
    both, *each = (
        render_planar_scene(white(), make_scene(some, items, material=MIRRORING))
        for some in (lights, lights[:1], lights[1:])
    )
    seen = ~both.occluded[0, 0, 0]
    total = sum(out.radiance[0, 0][:, seen] for out in each)
    assert_close(both.radiance[0, 0][:, seen], total)
