"""Sample objects: in view, or out of view and casting shadows into it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops.scene._sample.cameras import Cameras
from diar_ops.scene._sample.rng import TensorRng, choose_first
from diar_ops.scene.bounds import bounding_radius
from diar_ops.scene.ranges import SceneRanges
from diar_ops.scene.types import Finish, Lights, ObjectKind, Objects

#: Samples among which the first that no camera sees is taken.
CANDIDATES = 16
OUTLINE_TERMS = 6


def sample_occluders(rng: TensorRng, ranges: SceneRanges, picture_size: Tensor, camera: Tensor) -> Objects:
    """Sample objects between the picture and cameras at ``camera`` (B, T, 3)."""
    batch, frames = camera.shape[:2]
    slots = len(ranges.object_count) - 1
    shape = (batch, frames, slots)
    count = rng.category((batch, frames), ranges.object_count)
    objects = _unit_objects(rng, ranges, shape)
    apparent_size = rng.log_uniform(shape, *ranges.object_size)
    fraction = rng.uniform(shape, *ranges.object_place)
    behind = rng.on_picture(picture_size, frames, slots)
    radius = bounding_radius(objects)
    depth = -camera[:, :, None, 2]
    # Size shrinks towards the camera; away from the picture far enough to stand free:
    # fraction * depth >= 1.02 * radius * apparent_size * (1 - fraction).
    reach = 1.02 * radius * apparent_size / depth
    fraction = torch.maximum(fraction, reach / (1 + reach))
    return objects._replace(
        position=behind + fraction[..., None] * (camera[:, :, None] - behind),
        half_size=objects.half_size * (apparent_size * (1 - fraction))[..., None],
        valid=torch.arange(slots, device=rng.device) < count[..., None],
    )


def sample_casters(
    rng: TensorRng, ranges: SceneRanges, picture_size: Tensor, lights: Lights, cameras: Cameras, size: tuple[int, int]
) -> Objects:
    """Sample objects that no camera sees, between a light and the picture."""
    batch, frames = cameras.t.shape[:2]
    slots = len(ranges.caster_count) - 1
    shape = (batch, frames, CANDIDATES, slots)
    count = rng.category((batch, frames), ranges.caster_count)
    objects = _unit_objects(rng, ranges, (batch, frames, slots))
    apparent_size = rng.log_uniform((batch, frames, slots), *ranges.object_size)[:, :, None]
    fraction = rng.uniform(shape, 0.15, 0.8)
    shaded = rng.on_picture(picture_size, frames, CANDIDATES, slots)
    source = (rng.uniform(shape) * lights.valid.sum(dim=-1)[..., None, None]).long()
    origin = lights.position.gather(2, source.flatten(2)[..., None].expand(-1, -1, -1, 3))
    position = shaded + fraction[..., None] * (origin.reshape(*shape, 3) - shaded)
    half_size = (apparent_size * (1 - fraction))[..., None] * objects.half_size[:, :, None]
    radius = bounding_radius(objects)[:, :, None] * apparent_size * (1 - fraction)
    fits = ~_may_be_seen(position, radius, cameras, size) & (-position[..., 2] > 1.02 * radius)
    is_hidden, position, half_size = choose_first(fits, torch.zeros_like(fraction), fits, position, half_size)
    requested = torch.arange(slots, device=rng.device) < count[..., None]
    return objects._replace(position=position, half_size=half_size, valid=requested & is_hidden)


def _may_be_seen(position: Tensor, radius: Tensor, cameras: Cameras, size: tuple[int, int]) -> Tensor:
    """Return whether spheres (B, T, N, O) reach into the views of their frames' cameras."""
    K, R, t = cameras
    in_camera = (position.flatten(2, 3) @ R.mT + t[:, :, None]).reshape(position.shape)
    # Distance from each side plane of the view, positive outside.
    frame = torch.tensor([size[1], size[0]], dtype=torch.float64, device=t.device)
    focal = torch.stack((K[..., 0, 0], K[..., 1, 1]), dim=-1)[:, :, None, None]
    slope = frame / 2 / focal
    outside = (in_camera[..., :2].abs() - slope * in_camera[..., 2:]) / (1 + slope.square()).sqrt()
    return ~((outside.amax(dim=-1) > radius) | (in_camera[..., 2] < -radius))


def _unit_objects(rng: TensorRng, ranges: SceneRanges, shape: tuple[int, ...]) -> Objects:
    """Sample objects of size 1 (the longest half size is 0.5) at the origin, all valid."""
    kind = rng.category(shape, ranges.object_kind)
    finish = rng.category(shape, ranges.object_finish)
    is_flat = kind >= ObjectKind.DISC
    # A sheet has no inside to refract in: what would be glass is a tinted sheet.
    finish = torch.where(is_flat & (finish == Finish.GLASS), Finish.TINTED, finish)
    aspect = rng.log_uniform((*shape, 2), 0.4, 1.0)
    half_size = 0.5 * F.pad(aspect, (1, 0), value=1.0)
    half_size = torch.cat((half_size[..., :2], half_size[..., 2:] * ~is_flat[..., None]), dim=-1)
    order = torch.arange(1, OUTLINE_TERMS + 1, dtype=torch.float32, device=rng.device)
    amplitude = rng.uniform((*shape, 1, 1), 0.0, 0.25)
    outline = rng.uniform((*shape, 2, OUTLINE_TERMS), -1, 1) * amplitude / order.sqrt()
    hole = rng.uniform(shape, -0.7, 0.7).clamp_min(0)
    colour = rng.uniform((*shape, 3)) * rng.uniform((*shape, 1), 0.4, 1.0)
    # Light that passes keeps most of its energy, light that a surface scatters need not.
    clear = (finish == Finish.GLASS) | (finish == Finish.TINTED) | (finish == Finish.MIRROR)
    colour = torch.where(clear[..., None], 0.35 + 0.65 * colour, 0.05 + 0.85 * colour)
    rough = rng.uniform(shape)
    roughness = torch.where(finish == Finish.GLOSSY, 0.05 + 0.35 * rough, 0.15 * rough)
    opacity = rng.uniform(shape, 0.2, 0.7)
    return Objects(
        kind=kind,
        position=rng.uniform((*shape, 3), 0, 0),
        rotation=rng.rotation(shape),
        half_size=half_size,
        outline=outline * (kind == ObjectKind.CARD)[..., None, None],
        hole=hole * (kind == ObjectKind.DISC),
        finish=finish,
        colour=colour,
        roughness=roughness,
        opacity=torch.where(finish == Finish.TINTED, opacity, 1.0),
        valid=torch.ones(shape, dtype=torch.bool, device=rng.device),
    )
