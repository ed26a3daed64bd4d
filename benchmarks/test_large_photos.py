"""Photos of 12 megapixels aligned to the first of them: exactness, growth of time and of memory.

They show a large poster with the grain of paper, from elsewhere each, with noise, blur and JPEG,
through a lens that bends their corners by 6 % or not at all. Errors are those of the photos'
corners where the reference photo shows them, in its pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops import (
    Alignment,
    align_sequence,
    distort_points,
    homography_dlt,
    photograph,
    transform_points,
    undistort_points,
)
from diar_ops.colour import srgb_to_linear
from diar_ops.textures import procedural_texture

SIZE = (3000, 4000)
ROWS = 250


def corners() -> Tensor:
    last = torch.tensor([SIZE[1] - 1, SIZE[0] - 1], dtype=torch.float64)
    return last * torch.tensor([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=torch.float64)


@cache
def scene(count: int, k: float) -> tuple[list[Tensor], Tensor]:
    """Return photos (3, 3000, 4000) uint8, and undistorted frame ~ H @ picture."""
    seeded = torch.Generator().manual_seed(count)
    picture = procedural_texture(seeded, size=SIZE, kind="poster")
    picture = (picture + 0.04 * torch.randn(picture.shape, generator=seeded)).clamp(0, 1)
    moves = torch.rand(count, 4, 2, generator=seeded, dtype=torch.float64) - 0.5
    inset = 0.9 * (corners() - corners().mean(0)) + corners().mean(0)
    target = inset + 0.1 * moves * corners()[2]
    H = homography_dlt(corners().expand(count, 4, 2), target)
    return [_photo(picture, h, k, seeded) for h in H], H


def _photo(picture: Tensor, H: Tensor, k: float, seeded: torch.Generator) -> Tensor:
    parts = []
    for top in range(0, SIZE[0], ROWS):
        y, x = torch.meshgrid(torch.arange(top, top + ROWS).double(), torch.arange(SIZE[1]).double(), indexing="ij")
        pixels = torch.stack((x, y), -1).reshape(-1, 2)
        straight = undistort_points(pixels, pixels.new_tensor(k), size=SIZE).points
        points = transform_points(straight, torch.linalg.inv(H)).points
        grid = (2 * points + 1) / torch.tensor([SIZE[1], SIZE[0]]) - 1
        grid = grid.float().view(1, ROWS, SIZE[1], 2)
        parts.append(F.grid_sample(picture[None], grid, "bicubic", align_corners=False))
    light = srgb_to_linear(torch.cat(parts, 2).clamp(0, 1))
    return (photograph(light[None], generator=seeded)[0, 0] * 255).round().to(torch.uint8)


def errors(alignment: Alignment, H: Tensor, k: float) -> Tensor:
    """Return the mean corner error of each photo but the reference, in pixels of the reference."""

    def distorted_corners(homography: Tensor, bend: float) -> Tensor:
        lens = torch.tensor(bend, dtype=torch.float64)
        straight = undistort_points(corners(), lens, size=SIZE).points
        return distort_points(transform_points(straight, homography).points, lens, size=SIZE).points

    true = distorted_corners(H[0] @ torch.linalg.inv(H[1:]), k)
    off = distorted_corners(alignment.homography_reference_frame[1:], alignment.distortion) - true
    return torch.where(alignment.success[1:], off.norm(dim=-1).mean(-1), torch.inf)


@pytest.mark.full
@pytest.mark.benchmark(group="photos of 12 megapixels")
@pytest.mark.parametrize("k", [0.0, -0.06], ids=["straight", "bent"])
@pytest.mark.parametrize("count", [4, 8])
@pytest.mark.parametrize("method", ["ours", "ours with a lens"])
def test_large_photos(
    benchmark: Any, request: pytest.FixtureRequest, peak_memory: Callable[..., float], method: str, count: int, k: float
) -> None:
    photos, H = scene(count, k)
    device = request.config.getoption("--bench-device")
    distortion = "shared" if method == "ours with a lens" else "none"
    alignments: list[Alignment] = []

    def align() -> None:
        alignments.append(align_sequence(photos, reference=0, distortion=distortion, device=device))

    benchmark.extra_info["peak MiB"] = peak_memory(align)
    off = errors(alignments[0], H, k).sort().values
    benchmark.extra_info["median error px"] = float(off[(len(off) - 1) // 2])
    benchmark.extra_info["worst error px"] = float(off[-1])
    benchmark.pedantic(align, rounds=1)
