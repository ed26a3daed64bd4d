"""Mild scenes in which one thing can be made to grow."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from diar_ops._pixels import resize_matrix
from diar_ops._seeds import generator_for
from diar_ops.scene import CameraRanges, PlanarScene, SceneRanges
from diar_ops.scene.bounds import bounding_radius
from diar_ops.scene.sample import sample_planar_scene
from diar_ops.scene.types import F0_DIELECTRIC, Finish, LightKind, Objects

#: Every frame has one lamp far behind the camera, somewhat to one side, and little surrounding
#: light; white paper stays below saturation, and the picture is matte, so that nothing glares.
#: Three things and two that cast shadows are drawn, to be shown where they are the factor. The
#: first camera that is drawn is taken (``visible=0``): choosing would choose others as tilt grows.
RANGES = SceneRanges(
    light_count=(1.0, 0.0, 0.0),
    light_kind=(0.5, 0.0, 0.5),
    light_radiance=(0.55, 0.7),
    light_height=(2.2, 3.0),
    light_mirrored=0.0,
    light_radius=(0.01, 0.05),
    light_side=(0.1, 0.4),
    tint=0.08,
    ambient=(0.05, 0.08),
    object_count=(0.0, 0.0, 0.0, 1.0),
    caster_count=(0.0, 0.0, 1.0),
    object_finish=(0.6, 0.4, 0.0, 0.0, 0.0),
    object_size=(0.7, 1.0),
    object_place=(0.1, 0.4),
    picture_material=(1.0, 0.0, 0.0, 0.0),
    distance=(1.8, 2.2),
    tilt=(5.0, 15.0),
    roll=10.0,
    fill=(0.75, 0.85),
    visible=0.0,
)
#: A good camera whose automatics are almost right.
CAMERA = CameraRanges(
    exposure=(-0.2, 0.2), metering=(0.0, 0.0), temperature=(-0.1, 0.1), tint=(-0.03, 0.03),
    vignetting=(0.0, 0.15), blur=(0.3, 0.5), motion=(0.0, 0.3), shot_noise=(0.01, 0.01),
    read_noise=(0.001, 0.001), knee=(0.0, 0.0), quality=(90.0, 90.0),
)  # fmt: skip
#: The same with lights where the picture mirrors them.
MIRRORED = replace(RANGES, light_mirrored=1.0)
#: What a mirrored window adds to a pixel, where white paper in label light has 1: it is clipped
#: whatever the camera does. The glass is a little wavy.
GLARE, GLASS_ROUGHNESS = 3.0, 0.1
#: Things of a frame that may be in front; those behind them in the list cast shadows.
THINGS = len(RANGES.object_count) - 1
#: Halvings of the range, on a logarithmic scale, in which a scale is searched.
STEPS = 10


def mild_scene(
    name: str, frames: int, size: tuple[int, int], ranges: SceneRanges = RANGES
) -> tuple[PlanarScene, PlanarScene]:
    """Draw a misaligned scene of one square picture.

    Args:
        name: The scene; the same one always gives the same.
        frames: How many.
        size: (height, width) of the frames in pixels.
        ranges: The distribution. Scenes of two that differ in one range differ in this alone.

    Returns:
        The scene as it is: nothing in front, no shadows; and with all that was drawn, some of it
        to be shown by :func:`with_things`, :func:`with_casters` and :func:`glare_scene`.
    """
    drawn = sample_planar_scene(
        1, frames=frames, size=size, ranges=ranges, generator=generator_for("robustness scene", name)
    )
    empty = torch.zeros_like(drawn.objects.valid)
    return drawn._replace(objects=drawn.objects._replace(valid=empty)), drawn


def thumbnail(scene: PlanarScene, size: tuple[int, int]) -> PlanarScene:
    """Return a scene whose frames have another size (height, width) and show the same."""
    return scene._replace(K=resize_matrix(scene.size, size).to(scene.K) @ scene.K, size=size)


def with_things(drawn: PlanarScene, scale: Tensor) -> PlanarScene:
    """Show the things in front, each ``scale`` (1, T) times as large as it was drawn.

    A thing that would reach the picture moves towards the camera, which leaves its outline as it
    is: what is covered only grows.
    """
    things = _part(drawn.objects, slice(None, THINGS))
    camera = -(drawn.R.mT @ drawn.t[..., None])[..., 0][:, :, None]
    scale = scale[..., None].expand_as(things.valid)
    depth, height = -camera[..., 2], -things.position[..., 2]
    reach = 1.02 * bounding_radius(things) * scale
    nearer = (depth / (depth - height + reach)).clamp_max(1)[..., None]
    grown = things._replace(
        position=camera + (things.position - camera) * nearer, half_size=things.half_size * scale[..., None] * nearer
    )
    return drawn._replace(objects=grown)


def with_casters(drawn: PlanarScene, opacity: float) -> PlanarScene:
    """Show the things beside the view, as grey glass that keeps this share of the light."""
    casters = _part(drawn.objects, slice(THINGS, None))
    return drawn._replace(
        objects=casters._replace(
            finish=torch.full_like(casters.finish, int(Finish.TINTED)),
            colour=torch.ones_like(casters.colour),
            opacity=torch.full_like(casters.opacity, opacity),
        )
    )


def glare_scene(drawn: PlanarScene, scale: Tensor) -> PlanarScene:
    """Show nothing but windows that a black picture under glass mirrors, one in each frame.

    They are where the second light was drawn, so that :data:`MIRRORED` is to draw from.

    Args:
        drawn: With all lights that were drawn.
        scale: (1, T), side of the window's image on the picture, for a camera at the height of
            the window.
    """
    lights, room, material = drawn.lights, drawn.ambient, drawn.material
    side = 2 * scale[..., None]
    area = torch.full_like(lights.kind[:, :, 1:2], int(LightKind.AREA))
    window = lights._replace(
        kind=area,
        position=lights.position[:, :, 1:2],
        direction=lights.direction[:, :, 1:2],
        # The radiance of a square of power P and side s is P / (pi s^2).
        power=(math.pi * side.square() * GLARE / F0_DIELECTRIC)[..., None].expand(-1, -1, -1, 3),
        size=side,
        cone=lights.cone[:, :, 1:2],
        valid=torch.ones_like(area, dtype=torch.bool),
    )
    glass = material._replace(
        specular=torch.zeros_like(material.specular),
        coat=torch.ones_like(material.coat),
        coat_roughness=torch.full_like(material.coat_roughness, GLASS_ROUGHNESS),
    )
    empty = drawn.objects._replace(valid=torch.zeros_like(drawn.objects.valid))
    return drawn._replace(
        material=glass, wall=torch.zeros_like(drawn.wall), ambient=torch.zeros_like(room), lights=window, objects=empty
    )


def search_scales(measure: Callable[[Tensor], Tensor], level: float, low: float, high: float, frames: int) -> Tensor:
    """Return for each frame the scale at which a measure that grows with it reaches a level.

    Args:
        measure: Maps scales (1, T) to what is reached in each frame (1, T).
        level: What is wanted of all frames.
        low: Least scale.
        high: Largest scale; what does not reach the level there gets it.
        frames: T.
    """
    below = torch.full((1, frames), low, dtype=torch.float64).log()
    above = torch.full((1, frames), high, dtype=torch.float64).log()
    for _ in range(STEPS):
        middle = (below + above) / 2
        short = measure(middle.exp()) < level
        below, above = torch.where(short, middle, below), torch.where(short, above, middle)
    return ((below + above) / 2).exp()


def _part(objects: Objects, slots: slice) -> Objects:
    return Objects(*(value[:, :, slots] for value in objects))
