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
    Vector,
    by_kind,
    dot,
    intersect,
    local_normal,
    scale_vector,
    surface_normal,
    to_local,
    to_local_direction,
    vector,
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
        local: (n, N) each, the point in local coordinates.
        point: The point in the world.
        normal: Its normal, towards the eye where the object is flat.
        view: The unit vector to the eye.
        to_view: (n, N) cosine between both.
        glass: Rows with objects of glass, by kind.
        ranks: Rows by how near the object is, the farthest first; one for each rank.
    """

    frame: Tensor
    place: tuple[Tensor, Tensor]
    slot: Tensor
    shape: Primitives
    hit: Tensor
    face: Tensor
    local: Vector
    point: Vector
    normal: Vector
    view: Vector
    to_view: Tensor
    glass: list[Kind]
    ranks: list[Tensor]

    def select(self, rows: Tensor | slice) -> Hits:
        """Return some rows, which are of no kind and no rank."""

        def pick(value: Vector) -> Vector:
            return vector(lambda i: value[i][rows])

        return Hits(
            frame=self.frame[rows],
            place=(self.place[0][rows], self.place[1][rows]),
            slot=self.slot[rows],
            shape=self.shape.select(rows),
            hit=self.hit[rows],
            face=self.face[rows],
            local=pick(self.local),
            point=pick(self.point),
            normal=pick(self.normal),
            view=pick(self.view),
            to_view=self.to_view[rows],
            glass=[],
            ranks=[],
        )

    def join(self, other: Hits) -> Hits:
        """Return the rows of both, which are of no rank."""

        def both(a: Vector, b: Vector) -> Vector:
            return vector(lambda i: torch.cat((a[i], b[i])))

        count = len(self.frame)
        return Hits(
            frame=torch.cat((self.frame, other.frame)),
            place=(torch.cat((self.place[0], other.place[0])), torch.cat((self.place[1], other.place[1]))),
            slot=torch.cat((self.slot, other.slot)),
            shape=Primitives(*(torch.cat(pair) for pair in zip(self.shape, other.shape, strict=True))),
            hit=torch.cat((self.hit, other.hit)),
            face=torch.cat((self.face, other.face)),
            local=both(self.local, other.local),
            point=both(self.point, other.point),
            normal=both(self.normal, other.normal),
            view=both(self.view, other.view),
            to_view=torch.cat((self.to_view, other.to_view)),
            glass=self.glass + [(kind, count + start, count + stop) for kind, start, stop in other.glass],
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
    local_ray = vector(lambda i: plane.ray[i].expand(plane.x.shape)[frame, row])
    hits = _intersect(frames, kinds, (frame, row, slot), local_ray)
    return hits._replace(
        frame=frame if owner is None else owner[frame],
        glass=[(kind, of_kind[2 * kind + 1], of_kind[2 * kind + 2]) for kind in range(len(ObjectKind))],
        ranks=[ranks.order[start:stop] for start, stop in pairwise(of_rank)],
    )


def _intersect(frames: RenderFrames, kinds: list[Kind], rows: tuple[Tensor, Tensor, Tensor], ray: Vector) -> Hits:
    """Intersect objects with rays from the eye; at s = 1 a ray is on the plane."""
    frame, row, slot = rows
    shape, eye = frames.objects.primitives((frame, slot)), frames.eye[frame]
    local_eye, local_ray = to_local(shape, eye), to_local_direction(shape, ray)

    def meet(kind: int, rows: slice) -> tuple[Tensor, ...]:
        origin, direction = vector(lambda i: local_eye[i][rows]), vector(lambda i: local_ray[i][rows])
        s, _, hit = intersect(kind, shape.select(rows), origin, direction)
        return s, hit

    s, hit = by_kind(kinds, meet)
    hit = hit & (s > 0) & (s < 1)
    s = torch.where(hit, s, 0.5)
    local = vector(lambda i: local_eye[i] + s * local_ray[i])

    def orient(kind: int, rows: slice) -> tuple[Tensor, ...]:
        p = vector(lambda i: local[i][rows])
        return (*local_normal(kind, p), _face(kind, p))

    nx, ny, nz, face = by_kind(kinds, orient)
    normal = surface_normal(shape, (nx, ny, nz))
    inverse_norm = dot(ray, ray).rsqrt()
    view = vector(lambda i: -ray[i] * inverse_norm)
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
        point=vector(lambda i: eye[:, i : i + 1] + s * ray[i]),
        normal=scale_vector(normal, side),
        view=view,
        to_view=(to_view * side).clamp(1e-3, 1),
        glass=[],
        ranks=[],
    )


def _face(kind: int, local: Vector) -> Tensor:
    if kind == ObjectKind.BOX:
        return torch.stack([part.abs() for part in local]).argmax(0).to(torch.int32)
    if kind == ObjectKind.CYLINDER:
        return (local[2] ** 2 > local[0] ** 2 + local[1] ** 2).to(torch.int32)
    return torch.zeros_like(local[0], dtype=torch.int32)
