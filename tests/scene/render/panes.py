"""Panes and environments that are written down."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from diar_ops.scene import Environment, Pane, PlanarScene
from tests.scene.render.scenes import make_scene


def make_pane(**other: Any) -> Pane:
    """One plain pane, twice as large as the picture, of one image."""
    values: dict[str, Any] = {
        "valid": True,
        "is_coat": False,
        "distance": 0.05,
        "half_size": [1.0, 1.0],
        "reflectivity": 1.0,
        "thickness": 0.0,
        "wedge": [0.0, 0.0],
        "tint": [1.0, 1.0, 1.0],
        "blur": 0.0,
        **other,
    }
    return Pane(*(_tensor(values[name]) for name in Pane._fields))


def make_environment(
    image: Tensor | None = None,
    *,
    centre: list[list[float]] | None = None,
    half: tuple[float, float] = (1.0, 1.0),
    background: float = 0.0,
    brightness: float = 1.0,
    frames: int = 1,
) -> Environment:
    """Cards of images (E, 4, h, w) that face the picture upright, each at a centre of its own; none by default."""
    image = torch.zeros(0, 4, 1, 1) if image is None else image
    count = len(image)
    at = torch.tensor(centre or [[0.0, 0.0, -3.0]] * count, dtype=torch.float64).reshape(count, 3)
    right, down = torch.zeros(2, count, 3, dtype=torch.float64)
    right[:, 0], down[:, 1] = half
    return Environment(
        image.float()[None],
        *(side.expand(1, frames, count, 3) for side in (at, right, down)),
        valid=torch.ones(1, frames, count, dtype=torch.bool),
        background=torch.full((1, 3), background, dtype=torch.float64),
        brightness=torch.full((1, frames), brightness, dtype=torch.float64),
    )


def behind(pane: Pane, environment: Environment, **scene: Any) -> PlanarScene:
    """The scene of one aligned frame behind a pane."""
    return make_scene(**scene)._replace(pane=pane, environment=environment)


def plain(colour: float, opacity: float = 1.0, size: tuple[int, int] = (4, 4)) -> Tensor:
    """An image (1, 4, h, w) of one grey."""
    return torch.cat((torch.full((3, *size), colour), torch.full((1, *size), opacity)))[None]


def dot(x: float, y: float, size: int = 128, half: float = 1.0, spread: float = 3.0) -> Tensor:
    """An image (1, 4, size, size) of a small spot at a point of a card, in its own units."""
    place = ((torch.arange(size) + 0.5) * 2 / size - 1) * half
    width = spread * 2 * half / size
    light = (-0.5 * ((place - x) / width) ** 2).exp() * (-0.5 * ((place[:, None] - y) / width) ** 2).exp()
    return torch.cat((light.expand(3, -1, -1), torch.ones(1, size, size)))[None]


def centroid(light: Tensor) -> Tensor:
    """Return where (x, y) the light of an image (h, w) is centred, in pixels."""
    y, x = torch.meshgrid(*(torch.arange(side, dtype=light.dtype) for side in light.shape), indexing="ij")
    return torch.stack(((light * x).sum(), (light * y).sum())) / light.sum()


def _tensor(value: Any) -> Tensor:
    return torch.tensor([value], dtype=torch.bool if isinstance(value, bool) else torch.float64)
