"""Rendered pairs of photos whose cameras look at one picture from far apart."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops import photograph, render_planar_scene, transform_points
from diar_ops._seeds import generator_for
from diar_ops.scene import CameraRanges, PlanarScene, SceneRanges, sample_planar_scene
from diar_ops.scene.bounds import bounding_radius
from diar_ops.scene.plane import scene_homography
from diar_ops.scene.rotation import shortest_rotation

#: Angle between the two viewing directions, in degrees, and ratio of the magnifications.
ANGLES, SCALES = (50.0, 75.0), (1.0, 4.0)
#: Tilt of the less tilted view against the picture's normal, in degrees, at most; of the other, too.
FRONTAL, STEEPEST = 15.0, 78.0
#: Distance of the cameras from where they look, in sides of the picture. From nearer, photos that
#: show all of a picture from the side show the horizon of its plane, too, and no verdict takes them.
DISTANCES = (2.6, 4.0)
#: Share of the frame's side that the picture's takes in the view from farther away, seen frontally.
FILL = (0.85, 1.0)
#: Both show at least this share of what one of them shows of the picture.
SHARED = 0.6
#: The nearest corner of a frame is at most so many times nearer than the farthest.
DEPTHS = 5.0
#: Draws of the cameras of a pair, at most.
DRAWS = 5000
#: Side of the grid of points by which errors are measured.
GRID = 48
#: Things in front of one view in two, smaller than on the sets for training: views overlap less.
RANGES = SceneRanges(object_count=(0.4, 0.4, 0.2, 0.0), object_size=(0.15, 0.4), light_mirrored=0.2)


class ViewPair(NamedTuple):
    """Two photos of one picture.

    Attributes:
        frames: (2, 3, H, W) sRGB in [0, 1].
        homography_1_0: (3, 3) float64, frame 1 ~ H @ frame 0.
        points: Two (N, 2), where frame 0 and frame 1 show the same points of the picture: those of
            a grid that both show, whatever is in front.
        angle: Between the viewing directions, in degrees.
        scale: Magnification of the closer view over that of the other.
    """

    frames: Tensor
    homography_1_0: Tensor
    points: tuple[Tensor, Tensor]
    angle: float
    scale: float

    def error(self, homography_1_0: Tensor) -> float:
        """Return the mean error over what both show, in pixels of the frame that shows it smaller."""
        points0, points1 = self.points
        there = (transform_points(points0, homography_1_0).points - points1).norm(dim=-1).mean()
        back = (transform_points(points1, torch.linalg.inv(homography_1_0)).points - points0).norm(dim=-1).mean()
        smaller = there if _spread(points1) < _spread(points0) else back
        return float(smaller)


def _spread(points: Tensor) -> float:
    """Return the area that points cover, up to a factor."""
    return float(torch.linalg.det(torch.cov(points.T)).sqrt())


def render_pair(texture: Tensor, name: str, size: int = 512) -> ViewPair:
    """Render the pair of a name: the same one always gives the same.

    Args:
        texture: (1, 3, H, W) sRGB in [0, 1].
        name: Seeds all that is drawn.
        size: Side of the frames, in pixels.
    """
    generator = generator_for("hard views", name)
    picture_size = (texture.shape[-2], texture.shape[-1])
    scene = sample_planar_scene(
        1, frames=2, size=(size, size), picture_size=picture_size, ranges=RANGES, generator=generator
    )
    sides = scene.picture_size[0]
    cameras = _draw_cameras(sides, size, generator)
    scene = _look_through(scene, cameras)
    rendered = render_planar_scene(texture, scene)
    frames = photograph(rendered.radiance, ranges=replace(CameraRanges(), metering=(0.6, 1.0)), generator=generator)[0]
    H = scene_homography(scene)[0]
    points = _shared_points(H, size)
    return ViewPair(frames.float(), H[1] @ torch.linalg.inv(H[0]), (points[0], points[1]), cameras.angle, cameras.scale)


class _CameraPair(NamedTuple):
    """Two cameras: (2, 3, 3), (2, 3, 3), (2, 3), where they look, (2, 2), and how they differ."""

    K: Tensor
    R: Tensor
    t: Tensor
    target: Tensor
    magnification: Tensor
    angle: float
    scale: float


def _draw_cameras(sides: Tensor, size: int, generator: torch.Generator) -> _CameraPair:
    """Draw cameras until both show enough of the picture, and enough of it together."""

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))

    angle, scale = uniform(*ANGLES), SCALES[0] * (SCALES[1] / SCALES[0]) ** uniform(0, 1)
    for _ in range(DRAWS):
        first = _direction(math.radians(uniform(0, FRONTAL)), uniform(0, 2 * math.pi))
        second = _turned(first, math.radians(angle), uniform(0, 2 * math.pi))
        if -second[2] < math.cos(math.radians(STEEPEST)):
            continue
        fill = torch.full((2,), uniform(*FILL), dtype=torch.float64)
        fill[round(uniform(0, 1))] *= scale
        views = [first, second]
        if uniform(0, 1) < 0.5:
            views.reverse()
        aim = torch.stack([sides.flip(0) * (torch.rand(2, generator=generator, dtype=torch.float64) - 0.5)] * 2)
        aim = aim * (0.7 * (1 - 1 / fill)).clamp_min(0.1)[:, None]
        distance = [uniform(*DISTANCES) for _ in views]
        roll = [uniform(0, 2 * math.pi) for _ in views]
        K, R, t = zip(*map(_camera, views, aim, distance, roll, fill.tolist(), [size] * 2), strict=True)
        cameras = _CameraPair(torch.stack(K), torch.stack(R), torch.stack(t), aim, fill, angle, scale)
        if _is_seen(cameras, sides, size):
            return cameras
    raise AssertionError("no two cameras see enough of the picture")


def _direction(tilt: float, azimuth: float) -> Tensor:
    """Return the unit vector from the picture to a camera."""
    sine = math.sin(tilt)
    return torch.tensor([sine * math.cos(azimuth), sine * math.sin(azimuth), -math.cos(tilt)], dtype=torch.float64)


def _turned(direction: Tensor, angle: float, azimuth: float) -> Tensor:
    """Return a unit vector at an angle to another."""
    x, y, z = shortest_rotation(direction)
    turned: Tensor = math.cos(angle) * z + math.sin(angle) * (math.cos(azimuth) * x + math.sin(azimuth) * y)
    return turned


def _camera(
    direction: Tensor, aim: Tensor, distance: float, roll: float, fill: float, size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return K, R and t of a camera in a direction from where it aims, which ``fill`` magnifies."""
    c, s = math.cos(roll), math.sin(roll)
    around_axis = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=torch.float64)
    R = around_axis @ shortest_rotation(-direction)
    target = torch.cat([aim, aim.new_zeros(1)])
    focal, centre = fill * distance * size, (size - 1) / 2
    K = torch.tensor([[focal, 0, centre], [0, focal, centre], [0, 0, 1]], dtype=torch.float64)
    return K, R, -R @ (target + distance * direction)


def _is_seen(cameras: _CameraPair, sides: Tensor, size: int) -> bool:
    """Return whether both views show enough of the same, and the horizon in neither."""
    # frame ~ H @ (x, y, 1) of the picture's plane
    H = cameras.K @ torch.stack([cameras.R[..., 0], cameras.R[..., 1], cameras.t], -1)
    corners = torch.tensor([[0, 0, 1], [size, 0, 1], [size, size, 1], [0, size, 1]], dtype=torch.float64)
    for matrix in torch.linalg.inv(H):
        depth = corners @ matrix[2]
        if bool((depth * depth[0] <= 0).any()) or float(depth.abs().max() / depth.abs().min()) > DEPTHS:
            return False
    steps = torch.linspace(-0.5, 0.5, GRID, dtype=torch.float64)
    points = torch.stack([transform_points(torch.cartesian_prod(steps, steps) * sides.flip(0), h).points for h in H])
    seen = ((points >= 0) & (points <= size - 1)).all(-1)
    return int(seen.all(0).sum()) >= SHARED * int(seen.sum(1).min())


def _look_through(scene: PlanarScene, cameras: _CameraPair) -> PlanarScene:
    """Return a scene seen by other cameras; what was in front of the old ones is in front of them."""
    things = scene.objects
    old = -(scene.R.mT @ scene.t[..., None])[..., 0][:, :, None]
    new = -(cameras.R.mT @ cameras.t[..., None])[..., 0][None, :, None]
    behind = old + (things.position - old) * (old[..., 2:] / (old - things.position)[..., 2:])
    part = (things.position - behind).norm(dim=-1, keepdim=True) / (old - behind).norm(dim=-1, keepdim=True)
    # As large in the new view as in the old one, and where that looks.
    smaller = 1 / cameras.magnification.clamp_min(1)[None, :, None, None]
    aim = torch.nn.functional.pad(cameras.target, (0, 1))[None, :, None]
    behind = aim + (behind - aim) * smaller
    half_size = things.half_size * smaller
    reach = 1.02 * bounding_radius(things._replace(half_size=half_size))[..., None] / -new[..., 2:]
    part = torch.maximum(part, reach).clamp_max(0.9)
    moved = things._replace(position=behind + part * (new - behind), half_size=half_size)
    # Those that only cast shadows stay where they are, out of the old views, and may be in the new.
    seen = torch.arange(things.valid.shape[-1]) < len(RANGES.object_count) - 1
    K, R, t = (x[None] for x in cameras[:3])
    return scene._replace(K=K, R=R, t=t, objects=moved._replace(valid=things.valid & seen))


def _shared_points(homography_frame_label: Tensor, size: int) -> Tensor:
    """Return (2, N, 2), where both frames show the points of a grid on the picture."""
    steps = (torch.arange(4 * GRID, dtype=torch.float64) + 0.5) * size / (4 * GRID) - 0.5
    label = torch.cartesian_prod(steps, steps)
    points = torch.stack([transform_points(label, H).points for H in homography_frame_label])
    return points[:, ((points >= 0) & (points <= size - 1)).all(-1).all(0)]
