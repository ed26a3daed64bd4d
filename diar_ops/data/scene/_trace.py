"""Follow rays from the cameras: plane, things in front of it, mirrors and glass."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops.data.flags import HIGHLIGHT, SHADOW
from diar_ops.data.scene._lighting import PlaneLight, light_plane
from diar_ops.data.scene._looks import Looks, looks_of, meet_plane
from diar_ops.data.scene._shadows import Nodes
from diar_ops.data.scene._stage import Stage

__all__ = ["ROW", "TILE", "Plane", "Rays", "Seen", "pack", "trace"]

#: Rays are worked on in rows of this many that lie together: TILE x TILE pixels.
TILE = 16
ROW = TILE * TILE
#: Offsets, in pixels and along both axes, at which the picture's colour is taken.
TAPS = (-0.25, 0.25)


class Rays(NamedTuple):
    """Where rays pass through the frames, in pixels from their centres.

    Attributes:
        u: (F, R, N) to the right; a leading 1 stands for all frames.
        v: As ``u``, down.
        coarse: For whole pixels in tiles: ``u`` and ``v`` of nodes (1, R, M) in each tile, and
            the weights (M, N) that interpolate between them.
    """

    u: Tensor
    v: Tensor
    coarse: tuple[Tensor, Tensor, Tensor] | None = None


class Plane(NamedTuple):
    """What is on the plane.

    Attributes:
        light: Where the rays meet it.
        mean: (F, 3) radiance of all of it that the frame shows.
    """

    light: PlaneLight
    mean: Tensor


class Seen(NamedTuple):
    """What rays see.

    Attributes:
        radiance: (F, 3, R, N).
        surface: (F, R, N) int32, which surface is in front.
        visible: (F, R, N) bool, the picture is there, covered or not.
        occluded: As ``visible``, a thing is in front of the plane.
        shadow: As ``visible``, see :class:`FrameFlag`.
        highlight: As ``visible``.
        plane: What is on the plane.
    """

    radiance: Tensor
    surface: Tensor
    visible: Tensor
    occluded: Tensor
    shadow: Tensor
    highlight: Tensor
    plane: Plane


def trace(
    stage: Stage, pictures: Tensor, rays: Rays, points: int, plane: Plane | None = None
) -> Seen:
    """Follow rays through F frames.

    Args:
        stage: The frames.
        pictures: (S, 3, H, W) linear, each for F / S frames one after the other.
        rays: Where they pass.
        points: See :func:`visibility`.
        plane: What is where they meet the plane, if that is known already.
    """
    x, y = _on_plane(stage, rays.u, rays.v)
    eye = stage.eye[:, :, None, None]
    ray = (x - eye[:, 0], y - eye[:, 1], -eye[:, 2])
    inside = _is_inside(stage, x, y)
    if plane is not None:
        light = plane.light
    else:
        inverse = -(ray[0] * ray[0] + ray[1] * ray[1] + ray[2] * ray[2]).rsqrt()
        to_eye = ((ray[0] * inverse).flatten(1), (ray[1] * inverse).flatten(1),
                  (ray[2] * inverse).flatten(1))  # fmt: skip
        nodes = None
        if rays.coarse is not None:
            nodes = Nodes(*_on_plane(stage, *rays.coarse[:2]), rays.coarse[2])
        light = light_plane(stage, x, y, to_eye, points, nodes)
    taps = [(x, y)]
    if rays.coarse is not None:
        taps = [_on_plane(stage, rays.u + i, rays.v + j) for j in TAPS for i in TAPS]
    radiance = _radiance(stage, pictures, taps, inside, light)
    mean = radiance.nanmean(-1) if plane is None else plane.mean
    radiance = radiance.reshape(*radiance.shape[:2], *x.shape[1:])
    shadow = (light.hidden[:, 0] > 1 - SHADOW).reshape(x.shape) & inside
    highlight = (light.mirrored.mean(1) > HIGHLIGHT).reshape(x.shape) & inside
    surface = inside.to(torch.int32)
    occluded = torch.zeros_like(inside)
    looks = [_look_on(stage, pictures, look) for look in looks_of(stage, x, y, ray, mean)]
    colours = torch.arange(3, device=x.device)
    # From the farthest thing to the nearest.
    for rank in range(stage.things.kind.shape[1]):
        for look in looks:
            mine = (stage.things.rank[look.frame, look.item] == rank).nonzero()[:, 0]
            if len(mine) == 0:
                continue
            frame, row, hit = look.frame[mine], look.row[mine], look.hit[mine]
            at = (frame[:, None], colours, row[:, None])
            under = radiance[at]
            over = look.radiance[mine] + look.passes[mine] * under
            radiance = radiance.index_put(at, torch.where(hit[:, None], over, under))
            code = 2 + 4 * look.item[mine][:, None].to(torch.int32) + look.face[mine]
            surface[frame, row] = torch.where(hit, code, surface[frame, row])
            occluded[frame, row] |= hit
    clear = ~occluded
    return Seen(
        radiance, surface, inside, occluded, shadow & clear, highlight & clear, Plane(light, mean)
    )


def pack(frame: Tensor, frames: int, width: int) -> tuple[Tensor, Tensor]:
    """Arrange items by frame, in rows of ``width``, filled up with repetitions.

    Args:
        frame: (n,) of each item, n > 0.
        frames: F.
        width: N.

    Returns:
        Which item (F, R, N) is where, and at which place in that, flat, each item (n,) is.
    """
    order = frame.argsort(stable=True)
    count = torch.bincount(frame, minlength=frames)
    first = count.cumsum(0) - count
    rows = -(-int(count.max()) // width)
    place = torch.arange(rows * width, device=frame.device)
    index = first[:, None] + torch.minimum(place, (count - 1).clamp_min(0)[:, None])
    # A frame without items takes others', which nobody reads.
    index = order[index.clamp_max(len(order) - 1)].reshape(frames, rows, width)
    slot = torch.empty_like(order)
    within = torch.arange(len(order), device=frame.device) - first[frame[order]]
    slot[order] = frame[order] * (rows * width) + within
    return index, slot


def _look_on(stage: Stage, pictures: Tensor, look: Looks) -> Looks:
    """Add what is seen in mirrors and through glass: the plane, or the surroundings."""
    wanted = look.hit & (look.onward > 0).any(1)
    entry, ray = wanted.nonzero(as_tuple=True)
    if len(entry) == 0:
        return look
    frame = look.frame[entry]
    point, ahead = look.point, look.ahead
    x, y, meets = meet_plane(
        (point[0][entry, ray], point[1][entry, ray], point[2][entry, ray]),
        (ahead[0][entry, ray], ahead[1][entry, ray], ahead[2][entry, ray]),
    )
    index, slot = pack(frame, len(stage.eye), ROW)
    x, y = x[index], y[index]
    entry_, ray_ = entry[index].flatten(1), ray[index].flatten(1)
    to_eye = (-ahead[0][entry_, ray_], -ahead[1][entry_, ray_],
              (-ahead[2][entry_, ray_]).clamp_max(-1e-2))  # fmt: skip
    # One point stands for each light: what is bent is not looked at closely.
    light = light_plane(stage, x, y, to_eye, 1)
    radiance = _radiance(stage, pictures, [(x, y)], _is_inside(stage, x, y), light)
    radiance = radiance.movedim(1, 2).flatten(0, 1)[slot]
    radiance = torch.where(meets[:, None], radiance, stage.ambient[frame])
    seen = torch.zeros_like(look.radiance.movedim(1, 2)).index_put((entry, ray), radiance)
    return look._replace(radiance=look.radiance + look.onward * seen.movedim(1, 2))


def _radiance(
    stage: Stage,
    pictures: Tensor,
    taps: list[tuple[Tensor, Tensor]],
    inside: Tensor,
    light: PlaneLight,
) -> Tensor:
    """Return what the plane sends to the eye, (F, 3, P)."""
    count = len(pictures)
    total: Tensor | None = None
    for x, y in taps:
        grid = torch.stack((x / stage.half[:, 0:1, None], y / stage.half[:, 1:2, None]), dim=-1)
        grid = grid.reshape(count, 1, -1, 2)
        value = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
        total = value if total is None else total + value
    assert total is not None, "there is at least one tap"
    colour = total.reshape(count, 3, len(stage.eye) // count, -1).movedim(1, 2).flatten(0, 1)
    colour = colour * (light.kept * (1 / len(taps)))
    at_picture = inside.flatten(1)[:, None]
    colour = torch.where(at_picture, colour, stage.wall[:, :, None])
    return colour * light.scattered + light.mirrored * at_picture


def _on_plane(stage: Stage, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Return where rays meet the plane; those that never do meet it far away."""
    m = stage.to_plane[:, :, :, None, None]
    inverse = 1 / (m[:, 2, 0] * u + m[:, 2, 1] * v + m[:, 2, 2]).clamp_min(1e-3)
    x = (m[:, 0, 0] * u + m[:, 0, 1] * v + m[:, 0, 2]) * inverse
    y = (m[:, 1, 0] * u + m[:, 1, 1] * v + m[:, 1, 2]) * inverse
    return x, y


def _is_inside(stage: Stage, x: Tensor, y: Tensor) -> Tensor:
    """Return whether points (F, R, N) of the plane are on the picture."""
    return (x.abs() <= stage.half[:, 0:1, None]) & (y.abs() <= stage.half[:, 1:2, None])
