"""Ranges that cannot be drawn from are refused, and each of them is used."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diar_ops import OptionError
from diar_ops.scene import SceneRanges, sample_planar_scene
from tests.harness import generator
from tests.scene.sample.checks import RANGES, tensors


@pytest.mark.parametrize(
    "changed",
    [
        {"light_count": (0.5, 0.5)},
        {"object_kind": (0.5, 0.5, 0.5, 0, 0)},
        {"caster_count": (1.5, -0.5, 0)},
        {"light_mirrored": 1.1},
        {"tint": -0.1},
        {"light_radiance": (0.0, 1.0)},
        {"light_radiance": (2.0, 1.0)},
        {"tilt": (5.0, 81.0)},
        {"tilt": (-1.0, 5.0)},
        {"light_cone": (10.0, 171.0)},
        {"object_place": (0.1, 0.95)},
        {"ambient": (0.1,)},
        {"fill": (0.0, 1.0)},
        {"visible": 1.5},
        {"roll": 181.0},
        {"object_size": (0.1, math.nan)},
        {"fill": 1.0},
        {"light_kind": 1},
        {"roll": (0.0, 20.0)},
        {"visible": "most"},
        {"tilt": ("a", "b")},
        {"fill": None},
        {"distance": (0.5, 2.0)},
    ],
)
def test_ranges_that_cannot_be_drawn_from_are_refused(changed: dict[str, Any]) -> None:
    (name,) = changed
    with pytest.raises(OptionError, match=rf"SceneRanges\.{name}"):
        SceneRanges(**changed)


@pytest.mark.parametrize("name", [f.name for f in fields(SceneRanges)])
def test_every_range_changes_the_scene(name: str) -> None:
    """An option that nothing listens to would be a lie."""
    value = getattr(RANGES, name)
    if isinstance(value, float):
        changed: Any = value / 2
    elif name.endswith(("count", "kind", "finish", "material")):
        changed = value[::-1] if value[::-1] != value else (1.0, *(0.0 for _ in value[1:]))
    else:
        changed = (value[0] * 0.9, value[1] * 0.9)
    if name == "visible":
        changed = 1.0

    def drawn(ranges: SceneRanges) -> list[Tensor]:
        scene = sample_planar_scene(20, frames=4, generator=generator("each"), ranges=ranges)
        return tensors(scene)

    default, other = drawn(RANGES), drawn(SceneRanges(**{name: changed}))
    assert not all(map(torch.equal, default, other))
    assert all(np.isfinite(value.numpy()).all() for value in other)
