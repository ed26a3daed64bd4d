"""Pictures that are not flat: the height of their surface, and where the cameras see it."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops.geometry import transform_points
from diar_ops.scene.plane import picture_plane, scene_homography
from diar_ops.scene.types import BendKind, Bends, PlanarScene


class Surface(NamedTuple):
    """The picture's surface over points of its plane.

    Attributes:
        z: Its depth; below 0 it comes towards the cameras.
        dz_dx: Its slope.
        dz_dy: As ``dz_dx``.
    """

    z: Tensor
    dz_dx: Tensor
    dz_dy: Tensor


def bent_surface(bends: Bends, half_size: Tensor, x: Tensor, y: Tensor) -> Surface:
    """Return the surface of bent pictures: the sum of all bends, in closed form.

    Beyond the picture's edge its height goes on as it is at the edge.

    Args:
        bends: Of F pictures, fields (F, N).
        half_size: (F, 2) half width and height of the pictures.
        x: (F, ...) points of the plane.
        y: As ``x``.

    Returns:
        The :class:`Surface`, tensors (F, ...). Differentiable.
    """
    one = (-1, *(1 for _ in x.shape[1:]))
    half_width, half_height = (side.reshape(one) for side in half_size.unbind(-1))
    inside_x, inside_y = x.abs() <= half_width, y.abs() <= half_height
    x = torch.minimum(torch.maximum(x, -half_width), half_width)
    y = torch.minimum(torch.maximum(y, -half_height), half_height)
    z, dz_dx, dz_dy = torch.zeros_like(x), torch.zeros_like(x), torch.zeros_like(x)
    for slot in range(bends.kind.shape[1]):
        bend = Bends(*(field[:, slot].reshape(one) for field in bends))
        height, slope_x, slope_y = _unit_height(bend, half_width, half_height, x, y)
        towards_wall = -bend.height * bend.valid
        z = z + towards_wall * height
        dz_dx, dz_dy = dz_dx + towards_wall * slope_x, dz_dy + towards_wall * slope_y
    return Surface(z, dz_dx * inside_x, dz_dy * inside_y)


def _unit_height(
    bend: Bends, half_width: Tensor, half_height: Tensor, x: Tensor, y: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return a bend of height 1 and its derivatives; see :class:`BendKind`."""
    length = torch.where(bend.valid, bend.length, 1)
    cos, sin = bend.angle.cos(), bend.angle.sin()
    along = (cos * x + sin * y - bend.offset) / length
    curl, wave = along.clamp_min(0), 2 * math.pi * along
    is_wave = bend.kind == BendKind.WAVE
    ridge = torch.where(is_wave, wave.sin(), curl.square())
    slope = torch.where(is_wave, 2 * math.pi * wave.cos(), 2 * curl) / length

    px, py = x / half_width, y / half_height
    dome_x, dome_y = 1 - px.square(), 1 - py.square()
    rise_x, steep_x = _smoothstep((x.abs() - half_width + bend.offset) / length)
    rise_y, steep_y = _smoothstep((y.abs() - half_height + bend.offset) / length)
    is_bulge, is_frame = bend.kind == BendKind.BULGE, bend.kind == BendKind.FRAME

    def choose(ridge: Tensor, dome: Tensor, frame: Tensor) -> Tensor:
        return torch.where(is_bulge, dome, torch.where(is_frame, frame, ridge))

    return (
        choose(ridge, dome_x * dome_y, 1 - (1 - rise_x) * (1 - rise_y)),
        choose(cos * slope, -2 * px / half_width * dome_y, steep_x * x.sign() / length * (1 - rise_y)),
        choose(sin * slope, -2 * py / half_height * dome_x, steep_y * y.sign() / length * (1 - rise_x)),
    )


def _smoothstep(u: Tensor) -> tuple[Tensor, Tensor]:
    u = u.clamp(0, 1)
    return u * u * (3 - 2 * u), 6 * u * (1 - u)


def scene_surface(scene: PlanarScene, points: Tensor) -> Tensor:
    """Return the points (B, T, P, 3) of the surface over points (B, T, P, 2) of the plane z = 0."""
    if scene.bends is None:
        return torch.nn.functional.pad(points, (0, 1))
    bends = Bends(*(field.flatten(0, 1) for field in scene.bends))
    half_size = scene.picture_size.flip(-1).repeat_interleave(points.shape[1], dim=0) / 2
    x, y = points.flatten(0, 1).unbind(-1)
    z = bent_surface(bends, half_size, x, y).z
    return torch.cat((points, z.reshape(*points.shape[:-1], 1)), dim=-1)


def scene_displacement(scene: PlanarScene) -> Tensor:
    """Return how far each point of a bent picture is seen from where its homography puts it.

    The point of pixel (x, y) of the label is at :func:`scene_homography` of it plus this
    displacement in the frame, exactly: the homography is that of the flat picture in the plane
    z = 0, and the displacement the parallax of the point's height above it.

    Args:
        scene: Of B sequences of T frames.

    Returns:
        (B, T, 2, H, W) float64, pixels of the frame, right and down; zero where nothing is bent
        (then a view of one zero). Differentiable in the bends.
    """
    batch, frames = scene.K.shape[:2]
    height, width = scene.size
    if scene.bends is None:
        return scene.K.new_zeros(()).expand(batch, frames, 2, height, width)
    rows, columns = torch.meshgrid(
        *(torch.arange(n, dtype=torch.float64, device=scene.K.device) for n in scene.size), indexing="ij"
    )
    displacement, _ = _displace(scene, torch.stack((columns, rows), dim=-1).reshape(-1, 2))
    return displacement.mT.reshape(batch, frames, 2, height, width)


def bend_size(scene: PlanarScene) -> Tensor:
    """Return the mean displacement (B,) of the pictures of scenes, in pixels at 256.

    The mean is over points of the picture that lie in their frames, and over all frames; the
    pixels are those of frames whose longer side has 256.
    """
    height, width = scene.size
    line = (torch.arange(24, dtype=torch.float64, device=scene.K.device) + 0.5) / 24
    frame = line.new_tensor([width, height])
    displacement, seen = _displace(scene, torch.cartesian_prod(line, line) * frame - 0.5)
    shown = ((seen >= -0.5) & (seen <= frame - 0.5)).all(-1)
    mean: Tensor = (displacement.norm(dim=-1) * shown).sum((1, 2)) / shown.sum((1, 2)).clamp_min(1)
    return mean * (256 / max(scene.size))


def _displace(scene: PlanarScene, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Return displacements (B, T, P, 2) at pixels (P, 2) of the label, and where they are seen."""
    batch, frames = scene.K.shape[:2]
    plane = picture_plane(scene.picture_size, scene.size)[:, None]
    on_plane = pixels @ plane[..., :2, :2].mT + plane[..., None, :2, 2]
    points = scene_surface(scene, on_plane.expand(-1, frames, -1, -1))
    in_frame = (points @ scene.R.mT + scene.t[..., None, :]) @ scene.K.mT
    seen = in_frame[..., :2] / in_frame[..., 2:]
    H = scene_homography(scene).flatten(0, 1)
    flat = transform_points(pixels.expand(batch * frames, -1, -1), H).points
    return seen - flat.reshape(seen.shape), seen


def facing(scene: PlanarScene, steps: int = 33) -> Tensor:
    """Return the least cosine-like measure (B, T) of how far a bent picture faces its cameras.

    It is 1 for a flat picture, and 0 where a part of the surface is seen edge on: above 0 a ray
    from a camera meets the surface once, and the picture hides nothing of itself.
    """
    batch, frames = scene.K.shape[:2]
    if scene.bends is None:
        return scene.K.new_ones(batch, frames)
    line = torch.linspace(-0.5, 0.5, steps, dtype=torch.float64, device=scene.K.device)
    on_plane = torch.cartesian_prod(line, line) * scene.picture_size.flip(-1)[:, None, None]
    x, y = on_plane.expand(-1, frames, -1, -1).flatten(0, 1).unbind(-1)
    bends = Bends(*(field.flatten(0, 1) for field in scene.bends))
    half_size = scene.picture_size.flip(-1).repeat_interleave(frames, dim=0) / 2
    surface = bent_surface(bends, half_size, x, y)
    eye = -(scene.R.mT @ scene.t[..., None])[..., 0].flatten(0, 1)[:, None]
    down = surface.z - eye[..., 2]
    across = surface.dz_dx * (x - eye[..., 0]) + surface.dz_dy * (y - eye[..., 1])
    # A surface that reaches the camera does not face it either.
    measure = torch.where(down > 0, 1 - across / down.clamp_min(1e-12), -1)
    return measure.amin(-1).reshape(batch, frames)
