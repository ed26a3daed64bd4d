"""Shadows of objects, against closed forms and brute force."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from diar_ops import render_planar_scene
from diar_ops.scene import PlanarScene
from tests.harness import assert_close
from tests.scene.render.scenes import grey, make_light, make_object, make_scene, positions, some_rotation, white


def test_umbra() -> None:
    """The shadow of a sphere under a tiny light: a disc of a known radius, sharp."""
    height, centre, radius = 1.0, 0.4, 0.12
    scene = make_scene(
        [make_light("point", [0.1, 0.0, -height], size=1e-4)],
        # On the camera's ray through nothing that is lit: the thing itself hides little.
        [make_object("sphere", [0.1, 0.0, -centre], half_size=[radius] * 3)],
        size=(128, 128),
    )
    bare = scene._replace(objects=scene.objects._replace(valid=scene.objects.valid & False))
    image, free = (render_planar_scene(white(), s) for s in (scene, bare))
    share = (grey(image) / grey(free))[~image.occluded[0, 0, 0]]
    x, y = positions(scene)
    distance = ((x - 0.1) ** 2 + y**2).sqrt()[~image.occluded[0, 0, 0]]
    sine = radius / (height - centre)
    edge = height * sine / math.sqrt(1 - sine**2)
    pixel = 1 / 128
    assert (share[distance < edge - pixel] < 1e-3).all()
    assert (share[distance > edge + pixel] > 1 - 1e-3).all()
    assert (distance < edge - pixel).sum() > 200
    shadow = image.shadow[0, 0, 0][~image.occluded[0, 0, 0]]
    assert (shadow == (share < 0.75)).all()


@pytest.mark.parametrize("light", ["point", "area"])
@pytest.mark.parametrize("kind", ["sphere", "box", "cylinder", "disc", "card"])
def test_soft_shadow(kind: str, light: str) -> None:
    """Against brute force: rays to 400 points of a large light, for things that lie askew."""
    turn = some_rotation()
    half = [0.14, 0.09, 0.0 if kind in ("disc", "card") else 0.06]
    outline = [[0.1, -0.08, 0.05, 0.0, 0.05, 0.0], [0.0, 0.1, 0.0, -0.06, 0.0, 0.04]]
    item = make_object(
        kind,
        [0.05, -0.1, -0.3],
        rotation=turn.tolist(),
        half_size=half,
        outline=outline if kind == "card" else [[0.0] * 6] * 2,
        hole=0.5 if kind == "disc" else 0.0,
    )
    size = 0.5 if light == "area" else 0.15
    source = make_light(light, [0.0, 0.0, -1.0], size=size)
    scene = make_scene([source], [item], size=(16, 16))
    free = make_scene([source], size=(16, 16))
    out = render_planar_scene(white(), scene)
    share = (grey(out) / grey(render_planar_scene(white(), free))).numpy()
    expected = _brute_force_shadow(scene, item, light, size)
    seen = ~out.occluded[0, 0, 0].numpy()
    error = np.abs(share - expected)[seen]
    assert error.mean() < 0.012
    assert error.max() < 0.15
    assert expected[seen].min() < 0.85, "there is a shadow to look at"


@pytest.mark.parametrize("kind", ["sphere", "box", "cylinder"])
def test_light_within_a_thing(kind: str) -> None:
    """Nothing comes out, wherever in it the light is."""
    for aside, deep in ((0.0, 0.0), (0.05, 0.0), (0.02, 0.08), (-0.03, -0.08)):
        item = make_object(kind, [0.1, -0.05, -0.5], rotation=some_rotation().tolist())
        source = make_light("point", [0.1 + aside, -0.05, -0.5 + deep], size=1e-3)
        out = render_planar_scene(white(), make_scene([source], [item]))
        assert float(grey(out)[~out.occluded[0, 0, 0]].max()) < 1e-6


def test_tinted_shadow() -> None:
    """What a tinted sheet lets through is its colour, times what it does not scatter."""
    material = {"finish": "tinted", "colour": [0.8, 0.4, 0.2], "opacity": 0.25}
    item = make_object("card", [0, 0, -0.3], half_size=[0.1, 0.1, 0.0], **material)
    source = make_light("point", [0.4, 0.0, -1.0], size=1e-3)
    lit, free = (render_planar_scene(white(), make_scene([source], items)) for items in ([item], []))
    # The middle of the shadow, on the ray from the light through the card's centre.
    row, column = 32, round((-0.4 * 0.3 / 0.7 + 0.5) * 64 - 0.5)
    ratio = lit.radiance[0, 0, :, row, column] / free.radiance[0, 0, :, row, column]
    assert_close(ratio, 0.75 * torch.tensor([0.8, 0.4, 0.2]), rtol=1e-6)


def test_openness() -> None:
    """Below a black sphere, 1 - (r / d)^2 of the surroundings' light is left."""
    scene = make_scene(objects=[make_object("sphere", [0.0, 0.0, -0.5])], ambient=1.0, size=(65, 65))
    image = render_planar_scene(white(), scene)
    x, y = positions(scene)
    square = x**2 + y**2 + 0.25
    expected = 1 - 0.01 / square * 0.5 / square.sqrt()
    seen = ~image.occluded[0, 0, 0]
    assert_close(grey(image)[seen], expected[seen], atol=1e-3)


def _brute_force_shadow(scene: PlanarScene, item: dict[str, Any], light: str, size: float) -> np.ndarray:
    """Return the unhidden share of a light above the origin, by 400 rays from each pixel."""
    x, y = (value.numpy().reshape(-1, 1) for value in positions(scene))
    u, v = ((np.mgrid[:20, :20] + 0.5) / 20 - 0.5).reshape(2, -1) * size
    if light == "point":
        u, v = 2 * u, 2 * v
        u, v = (value[u**2 + v**2 <= size**2] for value in (u, v))
    start = np.stack(np.broadcast_arrays(x, y, 0 * x), -1)
    rays = np.stack(np.broadcast_arrays(u, v, -1.0), -1) - start
    turn, half = np.array(item["rotation"]), np.array(item["half_size"])
    half = np.where(half == 0, 1.0, half)
    o, d = ((value @ turn) / half for value in (start - item["position"], rays))
    steps = [-(o[..., 2] / d[..., 2])] if item["half_size"][2] == 0 else np.linspace(0.15, 0.5, 80)
    hidden = np.zeros(np.broadcast_shapes(o.shape[:-1], d.shape[:-1]), bool)
    for step in steps:
        p = o + np.asarray(step)[..., None] * d
        r = np.hypot(p[..., 0], p[..., 1])
        if item["kind"] == "sphere":
            inside = (p**2).sum(-1) < 1
        elif item["kind"] == "box":
            inside = np.abs(p).max(-1) < 1
        elif item["kind"] == "cylinder":
            inside = (r < 1) & (np.abs(p[..., 2]) < 1)
        elif item["kind"] == "disc":
            inside = (r < 1) & (r > item["hole"])
        else:
            phi, (a, b) = np.arctan2(p[..., 1], p[..., 0]), item["outline"]
            reach = 1 + sum(a[k] * np.cos((k + 1) * phi) + b[k] * np.sin((k + 1) * phi) for k in range(6))
            inside = np.abs(p[..., :2]).max(-1) < reach
        hidden |= inside
    # Each part counts by what it would give.
    square = (rays**2).sum(-1)
    weight = 1 / square**2 if light == "area" else np.ones_like(square)
    return 1 - ((hidden * weight).sum(-1) / weight.sum(-1)).reshape(scene.size)
