"""Unshadowed light on the picture: a reference for masks of shadows.

Summed over points of each light: the closed forms of the torch renderer are faster, but up to
40 % off in the fading rim of a narrow spot with a large sphere, and a mask should not be.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diar_ops.scene import LightKind, PlanarScene, picture_plane, scene_homography
from diar_ops.scene.rotation import shortest_rotation
from diar_ops.scene.types import SPOT_BLEND

#: Points by which the side of an area light, or the disc of a spot's sphere, is sampled.
_GRID = 6


def plane_points(scene: PlanarScene, frame: int) -> Tensor:
    """Return where the pixels of a frame see the picture's plane.

    Args:
        scene: Of one sequence.
        frame: Which of its frames.

    Returns:
        (H, W, 3) float32 world points, with z = 0.
    """
    height, width = scene.size
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    pixels = torch.stack((x, y, torch.ones_like(x)), dim=-1).double()
    label = pixels @ torch.linalg.inv(scene_homography(scene)[0, frame]).T
    label = label / label[..., 2:]
    plane: Tensor = label @ picture_plane(scene.picture_size[0], scene.size).T
    return plane.float()


def unshadowed_radiance(scene: PlanarScene, frame: int, points: Tensor) -> Tensor:
    """Return the radiance of white diffuse paper if nothing occluded a light or the surroundings.

    Args:
        scene: Of one sequence.
        frame: Which of its frames.
        points: (..., 3) world points with z = 0, facing (0, 0, -1).

    Returns:
        (..., 3) radiance, direct light only: ambient + irradiance / pi.
    """
    total = scene.ambient[0, frame].to(points).expand(points.shape).clone()
    lights = scene.lights
    for i in range(lights.valid.shape[2]):
        if not bool(lights.valid[0, frame, i]):
            continue
        index = (0, frame, i)
        kind, size, cone = (float(f[index]) for f in (lights.kind, lights.size, lights.cone))
        position, direction, power = (f[index].to(points) for f in (lights.position, lights.direction, lights.power))
        intensity = torch.zeros(points.shape[:-1])
        sources = _sources(LightKind(int(kind)), position, direction, size)
        for source in sources:
            to_light = source - points
            square = to_light.square().sum(-1)
            # The picture faces -z, and so do the lights in front of it.
            falloff = (-to_light[..., 2]).clamp_min(0) / square.pow(1.5)
            cosine = -(to_light @ direction) / square.sqrt()
            if kind == LightKind.AREA:
                falloff = falloff * cosine.clamp_min(0) * 4
            elif kind == LightKind.SPOT:
                edge = math.cos(cone / 2)
                step = ((cosine - edge) / ((1 - edge) * SPOT_BLEND)).clamp(0, 1)
                falloff = falloff * step.square() * (3 - 2 * step)
            intensity += falloff / len(sources)
        total += intensity[..., None] * power / (4 * math.pi**2)
    return total


def _sources(kind: LightKind, position: Tensor, direction: Tensor, size: float) -> list[Tensor]:
    """Return points that stand for a light, each with the same share of its power."""
    if kind == LightKind.POINT:
        return [position]  # a sphere's irradiance is that of its centre
    right, down, _ = shortest_rotation(direction)
    offsets = [((i + 0.5) / _GRID - 0.5) for i in range(_GRID)]
    square = [(u, v) for u in offsets for v in offsets]
    if kind == LightKind.SPOT:
        square = [(2 * u, 2 * v) for u, v in square if u * u + v * v <= 0.25]
    return [position + size * (u * right + v * down) for u, v in square]
