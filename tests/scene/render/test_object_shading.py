"""Objects in front of the plane, against closed forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from diar_ops import render_planar_scene
from diar_ops.scene import scene_from_document, scene_to_document
from tests.harness import assert_close
from tests.scene.render.scenes import drawn, make_light, make_object, make_scene, white


def test_occluded() -> None:
    """A sphere hides the inside of the conic that is its outline."""
    scene = drawn(1, 8, size=(64, 80), name="conic")
    document = scene_to_document(scene)
    centre, radius = [0.1, -0.05, -0.5], 0.15
    for frame in document["frames"]:
        frame["objects"] = [make_object("sphere", centre, half_size=[radius] * 3)]
    scene = scene_from_document(document)
    occluded = render_planar_scene(white(), scene).occluded[0, :, 0]
    quadric = np.diag([radius**2, radius**2, radius**2, -1.0])
    move = np.eye(4)
    move[:3, 3] = centre
    for frame in range(8):
        K, R, t = (field[0, frame].numpy() for field in (scene.K, scene.R, scene.t))
        P = K @ np.concatenate([R, t[:, None]], axis=1) @ move
        conic = np.linalg.inv(P @ quadric @ P.T)
        conic = conic if conic[0, 0] > 0 else -conic
        y, x = np.mgrid[:64, :80]

        def inside(dx: float, dy: float, conic: Any = conic, x: Any = x, y: Any = y) -> Any:
            p = np.stack([x + dx, y + dy, np.ones_like(x)], axis=-1)
            return np.einsum("...i,ij,...j->...", p, conic, p) < 0

        mask = occluded[frame].numpy()
        assert mask[inside(0, 0)].all()
        reach = [inside(dx, dy) for dx in (-0.5, 0, 0.5) for dy in (-0.5, 0, 0.5)]
        assert not mask[~np.any(reach, axis=0)].any()


def test_colour_of_things() -> None:
    """A sheet that faces the camera and a light beside it: Lambert; mirror: surroundings."""
    source = make_light("point", [0.0, 0.0, -3.0], size=1e-3, direction=[0.0, 0.0, 1.0])
    flat = {"half_size": [0.2, 0.2, 0.0], "colour": [0.5] * 3}
    out = render_planar_scene(white(), make_scene([source], [make_object("card", [0, 0, -0.5], **flat)]))
    expected = 0.5 * 10 / (4 * math.pi) / 2.5**2 / math.pi
    assert_close(out.radiance[0, 0, 0, 32, 32], expected, rtol=1e-3)
    mirror = make_object("card", [0, 0, -0.5], finish="mirror", **flat)
    out = render_planar_scene(white(), make_scene(objects=[mirror], ambient=0.6))
    assert_close(out.radiance[0, 0, 0, 32, 32], 0.5 * 0.6, rtol=1e-5)


@pytest.mark.parametrize("kind", ["sphere", "box", "cylinder", "disc", "card"])
def test_an_object_without_size_is_not_there(kind: str) -> None:
    source = make_light("point", [0.3, 0.0, -1.0], size=0.05)
    item = make_object(kind, [0.1, 0.0, -0.5], half_size=[0.0] * 3)
    out, free = (render_planar_scene(white(), make_scene([source], items, ambient=0.2)) for items in ([item], []))
    assert_close(out.radiance, free.radiance, rtol=1e-3, atol=1e-3)
