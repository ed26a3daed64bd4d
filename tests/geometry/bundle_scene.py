"""Sequences of photos of a plane with known homographies and lens, as matches."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from diar_ops import (
    BundleAdjustment,
    bundle_adjust_homographies,
    corner_error,
    distort_points,
    homography_dlt,
    transform_points,
    undistort_points,
)
from tests.harness import generator

F64 = torch.float64
SIZE = (240, 320)


class Scene(NamedTuple):
    """Matches of B sequences, and the truth."""

    frames: Tensor  # (B, P, 2)
    points0: Tensor  # (B, P, N, 2)
    points1: Tensor
    initial: Tensor  # (B, T, 3, 3), a few pixels off
    sizes: Tensor  # (B, T, 2)
    truth: Tensor  # (B, T, 3, 3) homography_reference_frame, undistorted

    @property
    def args(self) -> tuple[Tensor, ...]:
        return tuple(self[:5])

    def item(self, i: int) -> Scene:
        return Scene(*(x[i] for x in self))


def corners(size: tuple[int, int] = SIZE) -> Tensor:
    h, w = size[0] - 1.0, size[1] - 1.0
    return torch.tensor([[0.0, 0.0], [w, 0.0], [w, h], [0.0, h]], dtype=F64)


def all_pairs(count: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(count) for j in range(i + 1, count)]


def chain(count: int) -> list[tuple[int, int]]:
    return [(i, i + 1) for i in range(count - 1)]


def scene(
    name: str,
    *,
    batch: int = 1,
    count: int = 5,
    pairs: list[tuple[int, int]] | None = None,
    number: int = 100,
    noise: float = 0.3,
    outliers: float = 0.0,
    k: float = 0.0,
    reference: int = 0,
    off: float = 3.0,
    motion: float = 40.0,
    same_truth: bool = False,
) -> Scene:
    """Photos whose corners moved by up to ``motion`` px, ``number`` matches in each pair."""
    rng = generator(f"bundle {name}")

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=rng, dtype=F64) - 0.5

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng, dtype=F64)

    pairs = all_pairs(count) if pairs is None else pairs
    index = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2)
    poses = 1 if same_truth else batch
    shape = (poses * count, 4, 2)
    corner = corners().expand(shape)
    pose = homography_dlt(corner, corner + 2 * motion * rand(*shape)).view(poses, count, 3, 3)
    pose = pose.expand(batch, count, 3, 3)  # picture ~ pose @ frame
    truth = torch.linalg.inv(pose[:, reference])[:, None] @ pose
    to_frame = torch.linalg.inv(pose)
    centre = corners().mean(0)
    # Points of the picture that both photos show: drawn in the first, kept within the second.
    first, second = index.unbind(1)
    span = corners()[2]
    seen = (rand(batch, len(index), number, 2) + 0.5) * span
    step = (to_frame[:, second] @ pose[:, first]).flatten(0, 1)
    there = transform_points(seen.flatten(0, 1), step, centre.expand(len(step), 2)).points
    inside = there.clamp(min=torch.zeros(2, dtype=F64), max=span)
    back = torch.linalg.inv(step)
    here = transform_points(inside, back, centre.expand(len(step), 2)).points
    both = []
    for points in (here, inside):
        bent = distort_points(points, points.new_full((len(points),), k), size=SIZE)
        assert bent.valid.all()
        points = bent.points.view(batch, len(index), number, 2)
        both.append(points + noise * randn(*points.shape))
    wrong = rand(batch, len(index), number) + 0.5 < outliers
    both[1] = torch.where(wrong[..., None], (rand(*both[1].shape) + 0.5) * span, both[1])
    moved = corner[: batch * count] if not same_truth else corners().expand(batch * count, 4, 2)
    initial = homography_dlt(moved, moved + 2 * off * rand(*moved.shape)).view(batch, count, 3, 3)
    sizes = torch.tensor(SIZE).expand(batch, count, 2)
    frames = index.expand(batch, *index.shape)
    return Scene(frames, both[0], both[1], initial @ truth, sizes, truth)


def spoil(s: Scene, share: float, *, within: float | None = None, wrong_pairs: int = 0) -> tuple[Scene, Tensor]:
    """Replace a share of all matches, and all of the first ``wrong_pairs``, by wrong ones.

    Those lie anywhere, or ``within`` so many pixels of the right place, as a local search errs.
    Returns the scene and which (B, P, N) matches are wrong.
    """
    rng = generator("spoil")
    wrong = torch.rand(s.points1.shape[:-1], generator=rng) < share
    wrong[:, :wrong_pairs] = True
    place = torch.rand(s.points1.shape, generator=rng, dtype=F64)
    place = place * corners()[2] if within is None else s.points1 + (2 * place - 1) * within
    return s._replace(points1=torch.where(wrong[..., None], place, s.points1)), wrong


def error(homography: Tensor, truth: Tensor) -> Tensor:
    """Mean corner error (..., T) in pixels of the reference."""
    return corner_error(homography.to(F64), truth, size=SIZE)


def corners_in_reference(homography: Tensor, k: Tensor | float = 0.0) -> Tensor:
    """Return (B, T, 4, 2), the corners of frames with distortion k in the reference."""
    flat = homography.to(F64).reshape(-1, 3, 3)
    k = torch.as_tensor(k, dtype=F64).expand(len(homography)).repeat_interleave(homography.shape[1])
    points = undistort_points(corners().expand(len(flat), 4, 2), k, size=SIZE).points
    return transform_points(points, flat).points.view(*homography.shape[:-2], 4, 2)


def adjust(s: Scene, **options: Any) -> BundleAdjustment:
    return bundle_adjust_homographies(*s.args, **options)


def with_points1(s: Scene, points1: Tensor) -> Scene:
    return s._replace(points1=points1)
