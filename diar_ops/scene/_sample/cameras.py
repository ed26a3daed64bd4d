"""Sample cameras: the aligned one, and free ones that see enough of the picture."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops.scene._sample.rng import TensorRng, choose_first
from diar_ops.scene.ranges import TARGET, SceneRanges
from diar_ops.scene.rotation import shortest_rotation

#: Distance of the camera that sees exactly the picture.
ALIGNED_DISTANCE = 2.0
#: Samples among which the first that sees enough of the picture is taken.
CANDIDATES = 8


class Cameras(NamedTuple):
    """Cameras of B sequences of T frames, as in :class:`PlanarScene`."""

    K: Tensor  # (B, T, 3, 3)
    R: Tensor  # (B, T, 3, 3)
    t: Tensor  # (B, T, 3)

    def centre(self) -> Tensor:
        """Return where they are, (B, T, 3)."""
        return -(self.R.mT @ self.t[..., None])[..., 0]


def sample_cameras(
    rng: TensorRng, ranges: SceneRanges, picture_size: Tensor, frames: int, size: tuple[int, int], kind: str
) -> Cameras:
    """Sample the cameras of sequences of pictures of ``picture_size`` (B, 2)."""
    still = 1 if kind == "misaligned" else frames
    aligned = _aligned_cameras(picture_size, still, size)
    if still == frames:
        return aligned
    free = _free_cameras(rng, ranges, picture_size, frames - still, size)
    return Cameras(*(torch.cat(pair, dim=1) for pair in zip(aligned, free, strict=True)))


def _aligned_cameras(picture_size: Tensor, frames: int, size: tuple[int, int]) -> Cameras:
    batch, device = len(picture_size), picture_size.device
    focal = torch.full((batch, frames), ALIGNED_DISTANCE, dtype=torch.float64, device=device)
    t = torch.tensor([0, 0, ALIGNED_DISTANCE], dtype=torch.float64, device=device)
    return Cameras(
        K=_intrinsics(focal, picture_size, size),
        R=torch.eye(3, dtype=torch.float64, device=device).expand(batch, frames, 3, 3),
        t=t.expand(batch, frames, 3),
    )


def _free_cameras(
    rng: TensorRng, ranges: SceneRanges, picture_size: Tensor, frames: int, size: tuple[int, int]
) -> Cameras:
    shape = (len(picture_size), frames, CANDIDATES)
    tilt = rng.uniform(shape, *ranges.tilt).deg2rad()
    azimuth = rng.uniform(shape, 0, 2 * math.pi)
    roll = rng.uniform(shape, -ranges.roll, ranges.roll).deg2rad()
    distance = rng.uniform(shape, *ranges.distance)
    fill = rng.uniform(shape, *ranges.fill)
    target = rng.on_picture(picture_size, frames, CANDIDATES) * TARGET
    axis = torch.stack((-tilt.sin() * azimuth.cos(), -tilt.sin() * azimuth.sin(), tilt.cos()), dim=-1)
    # Turn the aligned camera so that it looks along its axis by the shortest rotation, then around
    # that axis: unlike a fixed "up", this has no preferred direction.
    cos, sin, zero = roll.cos(), roll.sin(), torch.zeros_like(roll)
    around_axis = torch.stack((cos, -sin, zero, sin, cos, zero, zero, zero, zero + 1), dim=-1)
    R = around_axis.reshape(*shape, 3, 3) @ shortest_rotation(axis)
    t = -(R @ (target - distance[..., None] * axis)[..., None])[..., 0]

    projected = _project_grid(R, t, picture_size)
    a, b, d, c = projected[..., [0, 8, 72, 80], :].unbind(dim=-2)
    diagonal, other = c - a, d - b
    area = (diagonal[..., 0] * other[..., 1] - diagonal[..., 1] * other[..., 0]).abs() / 2
    focal = fill / (area / 4).sqrt()
    in_frame = ((projected * focal[..., None, None]).abs() <= 1).all(dim=-1)
    visible = in_frame.double().mean(dim=-1)
    K = _intrinsics(focal, picture_size, size)
    return Cameras(*choose_first(visible >= ranges.visible, visible, K, R, t))


def _project_grid(R: Tensor, t: Tensor, picture_size: Tensor) -> Tensor:
    """Project 9 x 9 points of the picture, in half frames from the centre, for a focal of 1."""
    steps = torch.linspace(-0.5, 0.5, 9, dtype=torch.float64, device=t.device)
    square = F.pad(torch.cartesian_prod(steps, steps), (0, 1))
    points = square * F.pad(picture_size.flip(-1), (0, 1))[:, None]
    in_camera = points[:, None, None] @ R.mT + t[..., None, :]
    per_half_frame = 2 / picture_size.flip(-1)[:, None, None, None]
    return in_camera[..., :2] / in_camera[..., 2:] * per_half_frame


def _intrinsics(focal: Tensor, picture_size: Tensor, size: tuple[int, int]) -> Tensor:
    """Return K (B, ..., 3, 3); a point at depth ``focal`` (B, ...) is as large as on the label."""
    height, width = size
    frame = torch.tensor([width, height], dtype=torch.float64, device=focal.device)
    scale = frame / picture_size.flip(-1)
    scale = scale.reshape(len(picture_size), *(1 for _ in focal.shape[1:]), 2)
    fx, fy = (focal[..., None] * scale).unbind(-1)
    K = torch.zeros(*focal.shape, 3, 3, dtype=torch.float64, device=focal.device)
    K[..., 0, 0], K[..., 1, 1], K[..., 2, 2] = fx, fy, 1
    K[..., 0, 2], K[..., 1, 2] = (width - 1) / 2, (height - 1) / 2
    return K
