"""A scene as the torch renderer works on it: frames in one row, in its dtype, on its device."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops.scene._solids import Shape
from diar_ops.scene._turn import shortest_turn
from diar_ops.scene.sample import bounding_radius, picture_plane, scene_homography
from diar_ops.scene.types import Finish, ObjectKind, Objects, PictureMaterial, PlanarScene

__all__ = ["Lamps", "Stage", "Things", "shape_of", "stage_of"]


class Lamps(NamedTuple):
    """L lights of each frame. Those that are not there have no power."""

    kind: Tensor  # (F, L)
    position: Tensor  # (F, L, 3)
    direction: Tensor  # (F, L, 3)
    right: Tensor  # (F, L, 3), along one side of a square
    down: Tensor  # (F, L, 3), along the other
    power: Tensor  # (F, L, 3)
    size: Tensor  # (F, L)
    edge: Tensor  # (F, L), cosine of half a spot's cone
    valid: Tensor  # (F, L)


class Things(NamedTuple):
    """O things of each frame."""

    kind: Tensor  # (F, O)
    position: Tensor  # (F, O, 3)
    rotation: Tensor  # (F, O, 3, 3)
    scale: Tensor  # (F, O, 3), half sizes, 1 along z for flat things
    outline: Tensor  # (F, O, 2, K)
    hole: Tensor  # (F, O)
    finish: Tensor  # (F, O)
    colour: Tensor  # (F, O, 3)
    roughness: Tensor  # (F, O)
    opacity: Tensor  # (F, O)
    valid: Tensor  # (F, O)
    radius: Tensor  # (F, O), of a sphere around it
    area: Tensor  # (F, O), of what it hides, mean over all directions for a solid
    clear: Tensor  # (F, O, 3), share of light that passes it
    rank: Tensor  # (F, O), 0 for the farthest from the camera


class Stage(NamedTuple):
    """F frames. Points of the picture's plane are (x, y), their z is 0."""

    to_plane: Tensor  # (F, 3, 3), from (column, row, 1) from the frame's centre to (x, y, 1)
    pixel: Tensor  # (F, 1), side of a pixel on the picture's plane
    eye: Tensor  # (F, 3)
    half: Tensor  # (F, 2), half width and height of the picture
    material: PictureMaterial  # of (F, 1)
    wall: Tensor  # (F, 3)
    ambient: Tensor  # (F, 3)
    lamps: Lamps
    things: Things

    def part(self, start: int, stop: int) -> Stage:
        """Return some of the frames, without slots for lights and things that none of them has."""
        at = slice(start, stop)
        lamps = self.lamps.valid[at].any(dim=0).nonzero()
        things = self.things.valid[at].any(dim=0).nonzero()
        light, item = (int(used.max()) + 1 if len(used) else 0 for used in (lamps, things))
        return Stage(
            self.to_plane[at],
            self.pixel[at],
            self.eye[at],
            self.half[at],
            PictureMaterial(*(field[at] for field in self.material)),
            self.wall[at],
            self.ambient[at],
            Lamps(*(field[at, :light] for field in self.lamps)),
            Things(*(field[at, :item] for field in self.things)),
        )

    def take(self, frame: Tensor) -> Stage:
        """Return frames by their index, some of them often, others not at all."""
        return Stage(
            self.to_plane[frame],
            self.pixel[frame],
            self.eye[frame],
            self.half[frame],
            PictureMaterial(*(field[frame] for field in self.material)),
            self.wall[frame],
            self.ambient[frame],
            Lamps(*(field[frame] for field in self.lamps)),
            Things(*(field[frame] for field in self.things)),
        )


def shape_of(things: Things, at: tuple[Tensor, ...]) -> Shape:
    """Return the shapes of some things by their index."""
    return Shape(*(field[at] for field in things[1:6]))


def stage_of(scene: PlanarScene, dtype: torch.dtype, device: torch.device) -> Stage:
    """Prepare a scene; what decides where a pixel looks is computed in float64."""
    height, width = scene.size
    H = scene_homography(scene).flatten(0, 1)
    plane = picture_plane(scene.picture_size, scene.size)
    plane[..., 2, 2] = 1  # homogeneous: (x, y, 1) instead of (x, y, 0)
    frames = scene.K.shape[1]
    plane = plane.repeat_interleave(frames, dim=0)
    centred = torch.eye(3, dtype=H.dtype, device=H.device)
    centred[0, 2], centred[1, 2] = (width - 1) / 2, (height - 1) / 2
    to_plane = plane @ torch.linalg.inv(H) @ centred
    to_plane = to_plane / to_plane[:, 2:, 2:]
    # What one pixel at the frame's centre covers there, as the side of a square.
    jacobian = to_plane[:, :2, :2] - to_plane[:, :2, 2:] * to_plane[:, 2:, :2]
    pixel = torch.linalg.det(jacobian).abs().sqrt()[:, None]
    eye = -(scene.R.mT @ scene.t[..., None])[..., 0].flatten(0, 1)

    def cast(value: Tensor) -> Tensor:
        return value.to(device=device, dtype=dtype if value.is_floating_point() else value.dtype)

    def each(value: Tensor) -> Tensor:
        return cast(value.repeat_interleave(frames, dim=0))

    return Stage(
        to_plane=cast(to_plane),
        pixel=cast(pixel),
        eye=cast(eye),
        half=each(scene.picture_size.flip(-1) / 2),
        material=PictureMaterial(*(each(value)[:, None] for value in scene.material)),
        wall=each(scene.wall),
        ambient=cast(scene.ambient.flatten(0, 1)),
        lamps=_lamps(scene, cast),
        things=_things(scene, eye, cast),
    )


def _lamps(scene: PlanarScene, cast: Callable[[Tensor], Tensor]) -> Lamps:
    lights = scene.lights._replace(
        **{name: value.flatten(0, 1) for name, value in scene.lights._asdict().items()}
    )
    right, down, _ = shortest_turn(lights.direction).unbind(-2)
    keep = lights.valid
    power = torch.where(keep[..., None], lights.power, 0)
    # Slots without a light must not make NaN: a light of size 1 that is nowhere near.
    far = lights.position.new_tensor([0.0, 0.0, -3.0])
    position = torch.where(keep[..., None], lights.position, far)
    size = torch.where(keep, lights.size.clamp_min(1e-4), 1)
    edge = (lights.cone / 2).cos()
    fields = (lights.kind, position, lights.direction, right, down, power, size, edge, keep)
    return Lamps(*map(cast, fields))


def _things(scene: PlanarScene, eye: Tensor, cast: Callable[[Tensor], Tensor]) -> Things:
    items = scene.objects._replace(
        **{name: value.flatten(0, 1) for name, value in scene.objects._asdict().items()}
    )
    keep = items.valid
    flat = items.kind >= ObjectKind.DISC
    # Nothing is so small that its own coordinates, in which its half sizes are 1, are lost.
    half = torch.where(keep[..., None], items.half_size, 1).clamp_min(1e-4)
    a, b, c = half.unbind(-1)
    # Mean of what a convex solid hides is a quarter of its surface (Cauchy); of an ellipsoid by
    # Thomsen's formula, of a cylinder as if it were round.
    power = 1.6075
    ellipsoid = torch.pi * (
        (((a * b) ** power + (a * c) ** power + (b * c) ** power) / 3) ** (1 / power)
    )
    box = 2 * (a * b + a * c + b * c)
    cylinder = torch.pi * a * b / 2 + torch.pi * (a * b).sqrt() * c
    disc = torch.pi * a * b * (1 - items.hole.square())
    area = torch.stack((ellipsoid, box, cylinder, disc, 4 * a * b))
    area = area.gather(0, items.kind[None])[0]
    passes = torch.where(items.finish == Finish.TINTED, 1 - items.opacity, 0)
    passes = torch.where(items.finish == Finish.GLASS, torch.ones_like(passes), passes)
    distance = torch.where(keep, (items.position - eye[:, None]).norm(dim=-1), -1)
    rank = distance.argsort(dim=-1, descending=True).argsort(dim=-1)
    scale = torch.where(flat[..., None] & (torch.arange(3, device=a.device) == 2), 1, half)
    fields = (
        items.kind,
        items.position,
        items.rotation,
        scale,
        items.outline,
        items.hole,
        items.finish,
        items.colour,
        items.roughness,
        items.opacity,
        keep,
        _radius(items),
        area,
        passes[..., None] * items.colour,
        rank,
    )
    return Things(*map(cast, fields))


def _radius(items: Objects) -> Tensor:
    """Return the radius (F, O) of a sphere around each thing, tight also for cards."""
    angle = torch.linspace(0, 2 * torch.pi, 97, dtype=torch.float64, device=items.hole.device)
    order = torch.arange(1, items.outline.shape[-1] + 1, device=angle.device)
    phase = order[:, None] * angle
    a, b = items.outline.unbind(-2)
    reach = (1 + a @ phase.cos() + b @ phase.sin()) / torch.maximum(
        angle.cos().abs(), angle.sin().abs()
    )
    x, y = reach * angle.cos(), reach * angle.sin()
    half = items.half_size[..., None]
    # Between two of the angles an outline reaches little further.
    card = 1.05 * ((x * half[..., 0, :]) ** 2 + (y * half[..., 1, :]) ** 2).amax(-1).sqrt()
    return torch.where(items.kind == ObjectKind.CARD, card, bounding_radius(items))
