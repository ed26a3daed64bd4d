"""Shapes of scenes to sample, and what is looked at in them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from diar_ops.scene import ObjectKind, PlanarScene, SceneRanges
from tests.harness import generator

RANGES = SceneRanges()
#: Frames and picture: square, and both not square, with pixels that are not square either.
SHAPES = {"square": ((64, 64), (1, 1)), "wide": ((48, 96), (2, 3)), "tall": ((90, 40), (5, 2))}


def real(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def centres(scene: PlanarScene) -> Tensor:
    """Where the cameras are, (B, T, 3)."""
    return -(scene.R.mT @ scene.t[..., None])[..., 0]


def points_of(scene: PlanarScene, count: int = 120) -> Tensor:
    """Points on and in the things, (B, T, O, count, 3) in the world."""
    things = scene.objects
    draw = torch.rand(*things.kind.shape, count, 3, generator=generator("points")).double() * 2 - 1
    # Push to the surface of the cube, then to that of each shape.
    cube = draw / draw.abs().amax(dim=-1, keepdim=True)
    sphere = draw / draw.norm(dim=-1, keepdim=True)
    round_ = torch.cat((draw[..., :2] / draw[..., :2].norm(dim=-1, keepdim=True), draw[..., 2:]), dim=-1)
    phi = torch.atan2(cube[..., 1], cube[..., 0])[..., None]
    k = torch.arange(1, 7)
    a, b = things.outline.unsqueeze(-3).unbind(dim=-2)
    swell = 1 + (a * (k * phi).cos() + b * (k * phi).sin()).sum(dim=-1)
    card = draw / draw[..., :2].abs().amax(dim=-1, keepdim=True) * swell[..., None]
    kinds = things.kind[..., None, None]
    local = torch.where(kinds == ObjectKind.SPHERE, sphere, cube)
    local = torch.where((kinds == ObjectKind.CYLINDER) | (kinds == ObjectKind.DISC), round_, local)
    local = torch.where(kinds == ObjectKind.CARD, card, local)
    scaled = local * things.half_size[..., None, :]
    return scaled @ things.rotation.mT + things.position[..., None, :]


def in_view(scene: PlanarScene, points: Tensor) -> Tensor:
    """Which points (B, T, ..., 3) the camera of their frame sees."""
    lead = (1,) * (points.ndim - 4)
    R = scene.R.reshape(*scene.R.shape[:2], *lead, 3, 3)
    t = scene.t.reshape(*scene.t.shape[:2], *lead, 1, 3)
    K = scene.K.reshape(*scene.K.shape[:2], *lead, 3, 3)
    seen = (points @ R.mT + t) @ K.mT
    flat = seen[..., :2] / seen[..., 2:]
    inside = (flat > -0.5) & (flat < real(scene.size[::-1]) - 0.5)
    return (seen[..., 2] > 0) & inside.all(dim=-1)


def is_caster(scene: PlanarScene) -> Tensor:
    """(O,): the last slots hold what only casts shadows."""
    slots = scene.objects.kind.shape[-1]
    return torch.arange(slots) >= len(RANGES.object_count) - 1


def tensors(scene: PlanarScene) -> list[Tensor]:
    parts = (scene.material, scene.lights, scene.objects)
    return [*scene[:4], scene.wall, scene.ambient, *(value for part in parts for value in part)]


def assert_shares(values: Tensor, shares: tuple[float, ...] | list[float]) -> None:
    """Independent values 0, 1, ... occur as often as stated, up to five standard deviations."""
    count = values.numel()
    result = values.flatten().bincount(minlength=len(shares)).double() / count
    assert len(result) == len(shares)
    for measured, share in zip(result.tolist(), shares, strict=True):
        assert abs(measured - share) <= 5 * math.sqrt(share * (1 - share) / count) + 1e-9


def assert_within(values: Tensor, bounds: tuple[float, float], *, used: float = 0.9) -> None:
    """All values are in the range, and they use most of it."""
    low, high = bounds
    slack = 1e-9 * max(abs(low), abs(high))
    assert values.min() >= low - slack
    assert values.max() <= high + slack
    assert values.max() - values.min() >= used * (high - low)
