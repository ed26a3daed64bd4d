"""Sample lights."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diar_ops.scene._sample.rng import TensorRng
from diar_ops.scene.ranges import SceneRanges
from diar_ops.scene.types import LightKind, Lights

#: A light's power is not raised further for grazing incidence than for this cosine.
MIN_COSINE = 0.3


def sample_lights(rng: TensorRng, ranges: SceneRanges, picture_size: Tensor, camera: Tensor) -> Lights:
    """Sample lights for cameras at ``camera`` (B, T, 3)."""
    batch, frames = camera.shape[:2]
    slots = len(ranges.light_count)
    shape = (batch, frames, slots)
    count = 1 + rng.category((batch, frames), ranges.light_count)
    valid = torch.arange(slots, device=rng.device) < count[..., None]
    kind = rng.category(shape, ranges.light_kind)

    share = rng.uniform(shape, 0.3, 1.0) * valid
    radiance = rng.log_uniform((batch, frames, 1), *ranges.light_radiance)
    radiance = radiance * share / share.sum(dim=-1, keepdim=True)
    target = rng.on_picture(picture_size, frames, slots)
    height = rng.uniform(shape, *ranges.light_height)
    # Either anywhere above, up to 60 degrees off the normal, or where the picture mirrors it.
    sideways = rng.uniform(shape, 0, math.sqrt(3)) * height
    azimuth = rng.uniform(shape, 0, 2 * math.pi)
    anywhere = torch.stack((sideways * azimuth.cos(), sideways * azimuth.sin(), -height), dim=-1)
    from_camera = target - camera[:, :, None]
    mirrored = from_camera * (height / from_camera[..., 2])[..., None]
    mirrored = torch.cat((mirrored[..., :2], -height[..., None]), dim=-1)
    is_mirrored = rng.uniform(shape) < ranges.light_mirrored
    offset = torch.where(is_mirrored[..., None], mirrored, anywhere)

    distance = offset.norm(dim=-1)
    cosine = (height / distance).clamp_min(MIN_COSINE)
    spread = math.pi**2 * (4 - 3 * (kind == LightKind.AREA).double())
    power = spread * distance.square() * radiance / cosine
    radius = rng.log_uniform(shape, *ranges.light_radius)
    side = rng.log_uniform(shape, *ranges.light_side)
    return Lights(
        kind=kind,
        position=target + offset,
        direction=-offset / distance[..., None],
        power=power[..., None] * rng.tint(shape, ranges),
        size=torch.where(kind == LightKind.AREA, side, radius),
        cone=rng.uniform(shape, *ranges.light_cone).deg2rad(),
        valid=valid,
    )
