"""See the picture's plane along rays from the cameras."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops.scene._render.bent import meet_surface, surface_at
from diar_ops.scene._render.frames import RenderFrames
from diar_ops.scene._render.plane_shading import PlaneShading, shade_plane
from diar_ops.scene._render.primitives import dot
from diar_ops.scene._render.shadows import CoarseGrid

#: Offsets, in pixels and along both axes, at which the picture's colour is sampled.
TAPS = (-0.25, 0.25)


class PixelRays(NamedTuple):
    """Rays through all pixels, in rows that lie together; in pixels from the frames' centres.

    Attributes:
        u: (1, R, N) to the right.
        v: As ``u``, down.
        coarse: ``u`` and ``v`` of nodes (1, R, M) in each row, and the weights (M, N) that
            interpolate between them.
    """

    u: Tensor
    v: Tensor
    coarse: tuple[Tensor, Tensor, Tensor]


class PlaneView(NamedTuple):
    """The plane behind rays.

    Attributes:
        x: (F, R, N) where the rays meet the plane, or over which points of it a bent picture.
        y: As ``x``.
        ray: (3, F, R, N) from the eye to there.
        inside: (F, R, N) bool, it is the picture.
        shading: Of these points.
        radiance: (F, 3, R, N).
    """

    x: Tensor
    y: Tensor
    ray: Tensor
    inside: Tensor
    shading: PlaneShading
    radiance: Tensor


def view_plane(frames: RenderFrames, pictures: Tensor, rays: PixelRays, points: int) -> PlaneView:
    """Return the plane behind all pixels.

    Args:
        frames: The frames.
        pictures: (S, 3, H, W) linear, each for an equal number of frames one after the other.
        rays: Through the pixels.
        points: See :func:`search_beams`.
    """
    x, y = project_to_plane(frames, rays.u, rays.v)
    ray = ray_from_eye(frames, x, y)
    view = ray * -dot(ray, ray).rsqrt()
    grid = CoarseGrid(*project_to_plane(frames, *rays.coarse[:2]), rays.coarse[2])
    shading = shade_plane(frames, x, y, view.flatten(2), points, grid)
    taps = [project_to_plane(frames, rays.u + i, rays.v + j) for j in TAPS for i in TAPS]
    inside = is_on_picture(frames, x, y)
    radiance = plane_radiance(frames, pictures, None, taps, inside, shading)
    return PlaneView(x, y, ray, inside, shading, radiance.reshape(*radiance.shape[:2], *x.shape[1:]))


def plane_radiance(
    frames: RenderFrames,
    pictures: Tensor,
    starts: list[int] | None,
    taps: list[tuple[Tensor, Tensor]],
    inside: Tensor,
    shading: PlaneShading,
) -> Tensor:
    """Return the radiance (F, 3, P) of the plane.

    Args:
        frames: F frames.
        pictures: As in :func:`view_plane`.
        starts: At which frame that of each picture begin, and F; None where all have as many.
        taps: Points of the plane, whose mean colour is taken.
        inside: (F, R, N) whether it is the picture.
        shading: The light on it.
    """
    half_width, half_height = frames.half_size[:, 0:1, None], frames.half_size[:, 1:2, None]
    grids = [torch.stack((x / half_width, y / half_height), dim=-1) for x, y in taps]
    if starts is None:
        colour = _sample(pictures, [grid.reshape(len(pictures), 1, -1, 2) for grid in grids])
        colour = colour.reshape(len(pictures), 3, len(frames.eye) // len(pictures), -1)
        colour = colour.movedim(1, 2).flatten(0, 1)
    else:
        parts = [
            _sample(pictures[i : i + 1], [grid[a:b].reshape(1, b - a, -1, 2) for grid in grids])
            for i, (a, b) in enumerate(pairwise(starts))
            if b > a
        ]
        colour = torch.cat([part[0].movedim(0, 1) for part in parts])
    colour = colour * shading.base
    is_picture = inside.flatten(1)[:, None]
    colour = torch.where(is_picture, colour, frames.wall[:, :, None])
    return colour * shading.diffuse + shading.specular * is_picture


def _sample(pictures: Tensor, grids: list[Tensor]) -> Tensor:
    """Return the mean of pictures at several positions; borders repeat."""
    total: Tensor | None = None
    for grid in grids:
        value = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
        total = value if total is None else total + value
    assert total is not None, "there is at least one grid"
    return total if len(grids) == 1 else total / len(grids)


def project_to_plane(frames: RenderFrames, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Return where rays meet the plane, or over which points of it the bent picture.

    Those that never do meet it far away.
    """
    m = frames.to_plane[:, :, :, None, None]
    x, y, z = (m[:, :, 0] * u[:, None] + m[:, :, 1] * v[:, None] + m[:, :, 2]).unbind(1)
    inverse = 1 / z.clamp_min(1e-3)
    x, y = x * inverse, y * inverse
    return (x, y) if frames.bends is None else meet_surface(frames, x, y)


def ray_from_eye(frames: RenderFrames, x: Tensor, y: Tensor) -> Tensor:
    """Return the vectors from the eye to points of the plane, or of the surface over them."""
    eye = frames.eye[:, :, None, None]
    z = -eye[:, 2].expand_as(x)
    if frames.bends is not None:
        z = z + surface_at(frames, x, y).z
    return torch.stack((x - eye[:, 0], y - eye[:, 1], z))


def is_on_picture(frames: RenderFrames, x: Tensor, y: Tensor) -> Tensor:
    """Return whether points (F, R, N) of the plane are on the picture."""
    half_width, half_height = frames.half_size[:, 0:1, None], frames.half_size[:, 1:2, None]
    return (x.abs() <= half_width) & (y.abs() <= half_height)
