"""Scenes that are written down, and what is looked at in their renderings."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from diar_ops.scene import PlanarScene, RenderedScene, sample_planar_scene, scene_from_document, scene_to_document
from tests.harness import assert_close, generator

SIZE = (64, 64)
MATTE = {"roughness": 1.0, "specular": 0.0, "coat": 0.0, "coat_roughness": 0.1}
MIRRORING = {"roughness": 0.05, "specular": 0.5, "coat": 0.0, "coat_roughness": 0.1}
IDENTITY = torch.eye(3).tolist()


def make_light(kind: str, position: list[float], **other: Any) -> dict[str, Any]:
    aim = -torch.tensor(position, dtype=torch.float64)
    return {
        "kind": kind,
        "position": position,
        "direction": (aim / aim.norm()).tolist(),
        "power": [10.0] * 3,
        "size": 0.01,
        "cone": 1.0,
        **other,
    }


def make_object(kind: str, position: list[float], **other: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "position": position,
        "rotation": IDENTITY,
        "half_size": [0.1] * 3,
        "outline": [[0.0] * 6] * 2,
        "hole": 0.0,
        "finish": "diffuse",
        "colour": [0.0] * 3,
        "roughness": 0.1,
        "opacity": 1.0,
        **other,
    }


def make_scene(
    lights: list[dict[str, Any]] | None = None,
    objects: list[dict[str, Any]] | None = None,
    *,
    ambient: float = 0.0,
    size: tuple[int, int] = SIZE,
    material: dict[str, float] = MATTE,
    picture_size: tuple[float, float] = (1.0, 1.0),
) -> PlanarScene:
    """One aligned frame of a scene that is written down."""
    drawn = sample_planar_scene(frames=1, size=size, picture_size=torch.tensor(picture_size))
    document = scene_to_document(drawn)
    document["picture"]["material"] = material
    document["frames"][0] |= {"ambient": [ambient] * 3, "lights": lights or [], "objects": objects or []}
    return scene_from_document(document)


def white(batch: int = 1, level: float = 1.0) -> Tensor:
    return torch.full((batch, 3, 8, 8), level, dtype=torch.float64)


def grey(out: RenderedScene) -> Tensor:
    """Radiance (h, w) of the only frame, whose channels are alike."""
    assert_close(out.radiance[0, 0, 0], out.radiance[0, 0, 1])
    return out.radiance[0, 0, 0]


def positions(scene: PlanarScene) -> tuple[Tensor, Tensor]:
    """World x and y (h, w) of the pixels of an aligned frame."""
    (height, width), (high, wide) = scene.size, scene.picture_size[0].tolist()
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return ((x + 0.5) / width - 0.5).double() * wide, ((y + 0.5) / height - 0.5).double() * high


def texture(batch: int, size: tuple[int, int], name: str = "render texture") -> Tensor:
    """Smooth noise, (batch, 3, *size) in [0.1, 0.9]."""
    noise = torch.rand(batch, 3, *(side + 8 for side in size), generator=generator(name)).double()
    noise = torch.nn.functional.avg_pool2d(noise, 9, stride=1)
    return (0.5 + 3 * (noise - 0.5)).clamp(0.1, 0.9)


def drawn(batch: int, frames: int, size: tuple[int, int] = (32, 48), name: str = "scene") -> Any:
    return sample_planar_scene(batch, frames=frames, size=size, picture_size=size, generator=generator(name))


def some_rotation() -> Tensor:
    values = torch.randn(3, 3, generator=generator("askew")).double()
    rotation = torch.linalg.qr(values).Q
    return rotation * torch.linalg.det(rotation)
