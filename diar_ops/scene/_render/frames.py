"""A scene as the renderer works on it: all frames in one batch, in its dtype, on its device."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops.scene._render.pane import RenderPane, prepare_pane
from diar_ops.scene._render.primitives import Primitives
from diar_ops.scene.bounds import tight_bounding_radius
from diar_ops.scene.plane import picture_plane
from diar_ops.scene.rotation import shortest_rotation
from diar_ops.scene.types import Bends, Finish, Lights, ObjectKind, Objects, PictureMaterial, PlanarScene


class RenderLights(NamedTuple):
    """L lights of each frame: :class:`Lights`, and more. Slots without a light have no power."""

    kind: Tensor  # (F, L)
    position: Tensor  # (F, L, 3)
    direction: Tensor  # (F, L, 3)
    power: Tensor  # (F, L, 3)
    size: Tensor  # (F, L)
    cone: Tensor  # (F, L)
    valid: Tensor  # (F, L)
    right: Tensor  # (F, L, 3), along one side of a square
    down: Tensor  # (F, L, 3), along the other
    edge: Tensor  # (F, L), cosine of half a spot's cone

    def select(self, index: tuple[Tensor, ...] | slice | Tensor) -> RenderLights:
        """Return n lights by frame and slot, without the dimension of slots."""
        return RenderLights(*(field[index] for field in self))


class RenderObjects(NamedTuple):
    """O objects of each frame: :class:`Objects`, and more."""

    kind: Tensor  # (F, O)
    position: Tensor  # (F, O, 3)
    rotation: Tensor  # (F, O, 3, 3)
    half_size: Tensor  # (F, O, 3), 1 along z for flat objects
    outline: Tensor  # (F, O, 2, K)
    hole: Tensor  # (F, O)
    finish: Tensor  # (F, O)
    colour: Tensor  # (F, O, 3)
    roughness: Tensor  # (F, O)
    opacity: Tensor  # (F, O)
    valid: Tensor  # (F, O)
    radius: Tensor  # (F, O), of the bounding sphere
    area: Tensor  # (F, O), projected, mean over all directions for a solid
    transmittance: Tensor  # (F, O, 3), share of light that passes straight
    rank: Tensor  # (F, O), 0 for the farthest from the camera

    def primitives(self, index: tuple[Tensor, Tensor]) -> Primitives:
        """Return the shapes of n objects by frame and slot."""
        return Primitives(
            position=self.position[index],
            rotation=self.rotation[index],
            scale=self.half_size[index],
            outline=self.outline[index],
            hole=self.hole[index],
        )


class RenderFrames(NamedTuple):
    """F frames. Points of the picture's plane are (x, y), their z is 0."""

    to_plane: Tensor  # (F, 3, 3), from (column, row, 1) from the frame's centre to (x, y, 1)
    pixel: Tensor  # (F, 1), side of a pixel on the picture's plane
    eye: Tensor  # (F, 3), the camera's centre
    half_size: Tensor  # (F, 2), half width and height of the picture
    wall: Tensor  # (F, 3)
    ambient: Tensor  # (F, 3)
    material: PictureMaterial  # of (F, 1)
    lights: RenderLights
    objects: RenderObjects
    pane: RenderPane | None = None
    bends: Bends | None = None  # of (F, N)

    def used_slots(self) -> list[list[int]]:
        """Return how many slots of lights and of objects each frame has, without trailing empty ones."""
        used = []
        for valid in (self.lights.valid, self.objects.valid):
            number = torch.arange(1, valid.shape[1] + 1, device=valid.device)
            used.append(F.pad(valid * number, (1, 0)).amax(1))
        slots: list[list[int]] = torch.stack(used, dim=1).tolist()
        return slots

    def chunk(self, start: int, stop: int, used_slots: list[list[int]]) -> RenderFrames:
        """Return some of the frames, without trailing slots that none of them uses."""
        lights, objects = map(max, zip(*used_slots[start:stop], strict=True))
        return self.select(slice(start, stop), lights=lights, objects=objects)

    def select(self, index: slice | Tensor, *, lights: int | None = None, objects: int | None = None) -> RenderFrames:
        """Return frames by their index, with the first of their slots or all of them."""
        return RenderFrames(
            to_plane=self.to_plane[index],
            pixel=self.pixel[index],
            eye=self.eye[index],
            half_size=self.half_size[index],
            wall=self.wall[index],
            ambient=self.ambient[index],
            material=PictureMaterial(*(field[index] for field in self.material)),
            lights=RenderLights(*(field[index][:, :lights] for field in self.lights)),
            objects=RenderObjects(*(field[index][:, :objects] for field in self.objects)),
            pane=None if self.pane is None else self.pane.select(index),
            bends=None if self.bends is None else Bends(*(field[index] for field in self.bends)),
        )


def move(value: Tensor, device: torch.device) -> Tensor:
    """Copy to a device, without waiting for a GPU to have it."""
    return value.to(device, non_blocking=device.type == "cuda")


def prepare_frames(
    scene: PlanarScene, homography_frame_label: Tensor, dtype: torch.dtype, device: torch.device
) -> RenderFrames:
    """Prepare a scene for rendering; what decides where a pixel looks is computed in float64."""
    height, width = scene.size
    H = homography_frame_label.flatten(0, 1)
    plane = picture_plane(scene.picture_size, scene.size)
    plane[..., 2, 2] = 1  # homogeneous: (x, y, 1) instead of (x, y, 0)
    frames = scene.K.shape[1]
    plane = plane.repeat_interleave(frames, dim=0)
    from_centre = torch.eye(3, dtype=H.dtype, device=H.device)
    from_centre[0, 2], from_centre[1, 2] = (width - 1) / 2, (height - 1) / 2
    to_plane = plane @ torch.linalg.inv_ex(H).inverse @ from_centre
    to_plane = to_plane / to_plane[:, 2:, 2:]
    # What one pixel at the frame's centre covers there, as the side of a square.
    jacobian = to_plane[:, :2, :2] - to_plane[:, :2, 2:] * to_plane[:, 2:, :2]
    pixel = torch.linalg.det(jacobian).abs().sqrt()[:, None]
    eye = -(scene.R.mT @ scene.t[..., None])[..., 0].flatten(0, 1)

    def cast(value: Tensor) -> Tensor:
        return move(value.to(dtype if value.is_floating_point() else value.dtype), device)

    def per_frame(value: Tensor) -> Tensor:
        return cast(value.repeat_interleave(frames, dim=0))

    pane = prepare_pane(scene, eye)
    lights = Lights(*(field.flatten(0, 1) for field in scene.lights))
    objects = Objects(*(field.flatten(0, 1) for field in scene.objects))
    return RenderFrames(
        to_plane=cast(to_plane),
        pixel=cast(pixel),
        eye=cast(eye),
        half_size=per_frame(scene.picture_size.flip(-1) / 2),
        wall=per_frame(scene.wall),
        ambient=cast(scene.ambient.flatten(0, 1)),
        material=PictureMaterial(*(per_frame(value)[:, None] for value in scene.material)),
        lights=RenderLights(*map(cast, _prepare_lights(lights))),
        objects=RenderObjects(*map(cast, _prepare_objects(objects, eye))),
        pane=None if pane is None else RenderPane(*map(cast, pane)),
        bends=None if scene.bends is None else Bends(*(cast(field.flatten(0, 1)) for field in scene.bends)),
    )


def _prepare_lights(lights: Lights) -> RenderLights:
    valid = lights.valid
    right, down, _ = shortest_rotation(lights.direction).unbind(-2)
    # Slots without a light must not make NaN: a light of size 1 that is nowhere near.
    far = -3.0 * (torch.arange(3, device=valid.device) == 2)
    lights = lights._replace(
        position=torch.where(valid[..., None], lights.position, far),
        power=torch.where(valid[..., None], lights.power, 0),
        size=torch.where(valid, lights.size.clamp_min(1e-4), 1),
    )
    return RenderLights(*lights, right=right, down=down, edge=(lights.cone / 2).cos())


def _prepare_objects(objects: Objects, eye: Tensor) -> RenderObjects:
    valid = objects.valid
    # Nothing is so small that its local coordinates, in which its half sizes are 1, are lost.
    half_size = torch.where(valid[..., None], objects.half_size, 1).clamp_min(1e-4)
    is_flat = objects.kind >= ObjectKind.DISC
    is_z = torch.arange(3, device=half_size.device) == 2
    transmitted = torch.where(objects.finish == Finish.TINTED, 1 - objects.opacity, 0)
    transmitted = torch.where(objects.finish == Finish.GLASS, 1.0, transmitted)
    distance = torch.where(valid, (objects.position - eye[:, None]).norm(dim=-1), -1)
    return RenderObjects(
        *objects._replace(half_size=torch.where(is_flat[..., None] & is_z, 1, half_size)),
        radius=tight_bounding_radius(objects),
        area=_projected_area(objects, half_size),
        transmittance=transmitted[..., None] * objects.colour,
        rank=distance.argsort(dim=-1, descending=True).argsort(dim=-1),
    )


def _projected_area(objects: Objects, half_size: Tensor) -> Tensor:
    """Return the area of a sheet, or the mean area of a solid's projections."""
    a, b, c = half_size.unbind(-1)
    # The mean projection of a convex solid is a quarter of its surface (Cauchy); of an ellipsoid
    # by Thomsen's formula, of a cylinder as if it were round.
    power = 1.6075
    ellipsoid = torch.pi * ((((a * b) ** power + (a * c) ** power + (b * c) ** power) / 3) ** (1 / power))
    box = 2 * (a * b + a * c + b * c)
    cylinder = torch.pi * a * b / 2 + torch.pi * (a * b).sqrt() * c
    disc = torch.pi * a * b * (1 - objects.hole.square())
    area = torch.stack((ellipsoid, box, cylinder, disc, 4 * a * b))
    return area.gather(0, objects.kind[None])[0]
