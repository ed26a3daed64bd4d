"""Secondary rays: what mirrors and glass show."""

from __future__ import annotations

import torch
from torch import Tensor

from diar_ops.scene._render.frames import RenderFrames
from diar_ops.scene._render.groups import pack_rows
from diar_ops.scene._render.hits import Hits
from diar_ops.scene._render.object_shading import ObjectShading
from diar_ops.scene._render.plane_shading import shade_plane
from diar_ops.scene._render.plane_view import is_on_picture, plane_radiance

#: Points of the plane farther off than this are as good as at this distance.
FAR = 20.0


def add_secondary_rays(frames: RenderFrames, pictures: Tensor, hits: Hits, shading: ObjectShading) -> ObjectShading:
    """Add what mirrors and glass show: the plane, or the surroundings."""
    active = hits.hit & (shading.secondary > 0).any(1)
    count, width = len(frames.eye), active.shape[1]
    packed = pack_rows(torch.where(active, hits.frame[:, None], count), count, width)
    if packed is None:
        return shading

    direction = shading.direction.flatten(1)[:, packed.item]
    x, y, meets = _intersect_plane(shading.origin.flatten(1)[:, packed.item], direction)
    rows = frames.select(packed.frame)
    x, y = x[packed.at][:, None], y[packed.at][:, None]
    view = -direction[:, packed.at]
    view[2].clamp_max_(-1e-2)
    # One point stands for each light: a mirrored shadow is not looked at closely.
    plane = shade_plane(rows, x, y, view, 1)
    starts = packed.starts[:: count // len(pictures)]
    radiance = plane_radiance(rows, pictures, starts, [(x, y)], is_on_picture(rows, x, y), plane)
    radiance = radiance.movedim(1, 2).flatten(0, 1)[packed.position]
    radiance = torch.where(meets[:, None], radiance, frames.ambient[packed.item_frame])
    row, ray = packed.item.div(width, rounding_mode="floor"), packed.item % width
    incoming = torch.zeros_like(shading.radiance.movedim(1, 2)).index_put((row, ray), radiance).movedim(1, 2)
    return shading._replace(radiance=shading.radiance + shading.secondary * incoming)


def _intersect_plane(origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return where rays meet the plane (x, y), and whether they do."""
    is_down = direction[2] > 1e-3
    s = torch.where(is_down, -origin[2] / direction[2].clamp_min(1e-3), 0)
    x, y = origin[0] + s * direction[0], origin[1] + s * direction[1]
    return x.clamp(-FAR, FAR), y.clamp(-FAR, FAR), is_down
