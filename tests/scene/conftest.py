"""Scenes of every shape, sampled once."""

from __future__ import annotations

import pytest

from diar_ops.scene import PlanarScene, sample_planar_scene
from tests.harness import generator
from tests.scene.sample.checks import SHAPES


@pytest.fixture(scope="session", params=SHAPES)
def scene(request: pytest.FixtureRequest) -> PlanarScene:
    size, picture_size = SHAPES[request.param]
    return sample_planar_scene(
        250, frames=6, size=size, picture_size=picture_size, generator=generator(f"scene-{request.param}")
    )
