"""Sequences of light without pictures, from which the light common to all frames is learned."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops.colour import GAMMA, srgb_to_linear
from diar_ops.models import GRID
from diar_ops.scene import SceneRanges, render_planar_scene, sample_planar_scene
from diar_ops.training.rendered import LARGEST_ASPECT

#: Light darker than this is taken for this.
DARKEST = 0.01
#: A grey that every light leaves its colour.
GREY = 0.7
#: Pixels of a side of a cell.
CELL = 2


def bare_light(count: int, frames: int, generator: torch.Generator) -> Tensor:
    """Render the light of sequences on a blank, matte picture, with nothing in the way.

    Args:
        count: Number of sequences N.
        frames: Frames T of each.
        generator: Source of randomness.

    Returns:
        (N, T, 3, 8, 8) float32 log factors on ``value + 0.055`` that undo the light.
    """
    ranges = SceneRanges(object_count=(1, 0, 0, 0), caster_count=(1, 0, 0), picture_material=(1, 0, 0, 0))
    aspect = LARGEST_ASPECT ** (2 * torch.rand(count, generator=generator) - 1)
    side = CELL * GRID
    scene = sample_planar_scene(
        count,
        frames=frames,
        size=(side, side),
        picture_size=torch.stack((torch.ones(count), aspect), dim=1),
        kind="aligned",
        generator=generator,
        ranges=ranges,
    )
    blank = torch.full((count, 3, side, side), GREY)
    light = render_planar_scene(blank, scene).radiance / srgb_to_linear(blank)[:, None]
    logs = light.clamp_min(DARKEST).log().flatten(0, 1)
    return -F.avg_pool2d(logs, CELL).view(count, frames, 3, GRID, GRID) / GAMMA
