"""Find where rays from the cameras hit objects."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops.scene._render.frames import RenderFrames
from diar_ops.scene._render.groups import sort_into_groups, unravel
from diar_ops.scene._render.plane_view import PlaneView
from diar_ops.scene._render.primitives import (
    Kind,
    Primitives,
    by_kind,
    dot,
    intersect,
    local_normal,
    surface_normal,
    to_local,
    to_local_direction,
)
from diar_ops.scene._render.shadows import near_beam, row_bounds
from diar_ops.scene.types import Finish, ObjectKind


class Hits(NamedTuple):
    """What n rows of N rays hit of one object each.

    Attributes:
        frame: (n,) of the row.
        place: (n,) each, where the row is among rows (F, R).
        slot: (n,) of the object.
        shape: Of the object.
        hit: (n, N).
        face: (n, N) int32, different on different sides of an edge.
        local: (3, n, N) the point in local coordinates.
        point: The point in the world.
        normal: Its normal, towards the eye where the object is flat.
        view: The unit vector to the eye.
        to_view: (n, N) cosine between both.
        glass: Rows with objects of glass, by kind.
        order: (n,) rows by how near the object is, the farthest first.
        ranks: Where each rank begins and ends there.
    """

    frame: Tensor
    place: tuple[Tensor, Tensor]
    slot: Tensor
    shape: Primitives
    hit: Tensor
    face: Tensor
    local: Tensor
    point: Tensor
    normal: Tensor
    view: Tensor
    to_view: Tensor
    glass: list[Kind]
    order: Tensor
    ranks: list[slice]

    def select(self, rows: Tensor | slice) -> Hits:
        """Return some rows, which are of no kind and no rank."""
        return Hits(
            frame=self.frame[rows],
            place=(self.place[0][rows], self.place[1][rows]),
            slot=self.slot[rows],
            shape=self.shape.select(rows),
            hit=self.hit[rows],
            face=self.face[rows],
            local=self.local[:, rows],
            point=self.point[:, rows],
            normal=self.normal[:, rows],
            view=self.view[:, rows],
            to_view=self.to_view[rows],
            glass=[],
            order=self.order[:0],
            ranks=[],
        )

    def join(self, other: Hits) -> Hits:
        """Return the rows of both, which are of no rank."""
        count = len(self.frame)
        return Hits(
            frame=torch.cat((self.frame, other.frame)),
            place=(torch.cat((self.place[0], other.place[0])), torch.cat((self.place[1], other.place[1]))),
            slot=torch.cat((self.slot, other.slot)),
            shape=Primitives(*(torch.cat(pair) for pair in zip(self.shape, other.shape, strict=True))),
            hit=torch.cat((self.hit, other.hit)),
            face=torch.cat((self.face, other.face)),
            local=torch.cat((self.local, other.local), dim=1),
            point=torch.cat((self.point, other.point), dim=1),
            normal=torch.cat((self.normal, other.normal), dim=1),
            view=torch.cat((self.view, other.view), dim=1),
            to_view=torch.cat((self.to_view, other.to_view)),
            glass=self.glass + [(kind, count + start, count + stop) for kind, start, stop in other.glass],
            order=self.order[:0],
            ranks=[],
        )


def find_hits(frames: RenderFrames, plane: PlaneView, owner: Tensor | None = None) -> Hits | None:
    """Intersect rays from the eye with the objects near them; None if there is nothing near.

    Waits for the device once.

    Args:
        frames: F frames.
        plane: What is behind the objects.
        owner: (F,) what to call the frames; 0 to F - 1 by default.
    """
    objects = frames.objects
    slots = objects.kind.shape[1]
    if slots == 0:
        return None
    centre, reach = row_bounds(plane.x, plane.y)
    if frames.bends is not None:
        # Bent rows are in a sphere around that on the plane that is larger by their height.
        reach = reach + (plane.ray[2] + frames.eye[:, 2, None, None]).abs().amax(-1)
    near = near_beam(
        centre[:, :, None],
        reach[:, :, None],
        frames.eye[:, None, None],
        torch.zeros_like(reach)[:, :, None],
        objects.position[:, None],
        objects.radius[:, None],
    )
    near = near & objects.valid[:, None]
    code = 2 * objects.kind + (objects.finish == Finish.GLASS)
    count = 2 * len(ObjectKind)
    groups = sort_into_groups(torch.where(near, code[:, None], count), count)
    rank = torch.where(near, objects.rank[:, None], slots).flatten()[groups.order]
    ranks = sort_into_groups(rank, slots)
    bounds = torch.cat((groups.bounds, ranks.bounds)).tolist()
    of_kind, of_rank = bounds[: count + 1], bounds[count + 1 :]
    if of_kind[-1] == 0:
        return None
    frame, row, slot = unravel(groups.order[: of_kind[-1]], near.shape)
    kinds = [(kind, of_kind[2 * kind], of_kind[2 * kind + 2]) for kind in range(len(ObjectKind))]
    local_ray = plane.ray[:, frame, row]
    hits = _intersect(frames, kinds, (frame, row, slot), local_ray)
    return hits._replace(
        frame=frame if owner is None else owner[frame],
        glass=[(kind, of_kind[2 * kind + 1], of_kind[2 * kind + 2]) for kind in range(len(ObjectKind))],
        order=ranks.order[: of_rank[-1]],
        ranks=[slice(start, stop) for start, stop in pairwise(of_rank) if stop > start],
    )


def _intersect(frames: RenderFrames, kinds: list[Kind], rows: tuple[Tensor, Tensor, Tensor], ray: Tensor) -> Hits:
    """Intersect objects with rays from the eye; at s = 1 a ray is on the plane."""
    frame, row, slot = rows
    shape, eye = frames.objects.primitives((frame, slot)), frames.eye[frame]
    local_eye, local_ray = to_local(shape, eye), to_local_direction(shape, ray)

    def meet(kind: int, rows: slice) -> tuple[Tensor, ...]:
        s, _, hit = intersect(kind, shape.select(rows), local_eye[:, rows], local_ray[:, rows])
        return s, hit

    s, hit = by_kind(kinds, meet)
    hit = hit & (s > 0) & (s < 1)
    s = torch.where(hit, s, 0.5)
    local = local_eye + s * local_ray

    def orient(kind: int, rows: slice) -> tuple[Tensor, ...]:
        p = local[:, rows]
        return local_normal(kind, p), _face(kind, p)

    normal, face = by_kind(kinds, orient)
    normal = surface_normal(shape, normal)
    inverse_norm = dot(ray, ray).rsqrt()
    view = ray * -inverse_norm
    to_view = dot(normal, view)
    # Sheets are seen from both sides.
    is_flat = (frames.objects.kind[frame, slot] >= ObjectKind.DISC)[:, None]
    side = 1 - 2 * (is_flat & (to_view < 0)).to(s.dtype)
    return Hits(
        frame=frame,
        place=(frame, row),
        slot=slot,
        shape=shape,
        hit=hit,
        face=face,
        local=local,
        point=eye.mT[..., None] + s * ray,
        normal=normal * side,
        view=view,
        to_view=(to_view * side).clamp(1e-3, 1),
        glass=[],
        order=frame[:0],
        ranks=[],
    )


def _face(kind: int, local: Tensor) -> Tensor:
    if kind == ObjectKind.BOX:
        return local.abs().argmax(0).to(torch.int32)
    if kind == ObjectKind.CYLINDER:
        return (local[2] ** 2 > local[0] ** 2 + local[1] ** 2).to(torch.int32)
    return torch.zeros_like(local[0], dtype=torch.int32)
