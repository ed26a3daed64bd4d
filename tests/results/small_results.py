"""Results of three small photos, written to a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import ImageCms
from torch import Tensor

from diar_ops import Alignment, Reconstruction
from diar_ops.results import write_results
from tests.harness import generator
from tests.photos import exact_alignment

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
NAMES = ["a.jpg", "b.jpg", "c.jpg"]
SIZE = (12, 16)


def alignment(success: tuple[bool, ...] = (True, True, False)) -> Alignment:
    """Frame t is shifted by t pixels; what failed did so by chance."""
    count = len(success)
    shifts = np.stack([[[1.0, 0, -t], [0, 1, 0], [0, 0, 1]] for t in range(count)])
    return exact_alignment(shifts, SIZE, success=list(success))._replace(
        inliers=torch.arange(count) + 40, overlap=torch.full((count,), 1 / 3)
    )


def reconstruction(count: int = 3, *, covered: bool = True) -> Reconstruction:
    coverage = torch.full((1, *SIZE), 2)
    if not covered:
        coverage[:, :, :5] = 0
    random = generator("results picture")
    image = torch.rand(3, *SIZE, generator=random)
    weights = torch.rand(count, 1, *SIZE, generator=random)
    return Reconstruction(image, coverage, weights, torch.ones(count, 3))


def aligned(frames: tuple[int, ...] = (0, 1)) -> Iterator[tuple[int, Tensor, Tensor]]:
    for t in frames:
        valid = torch.ones(1, *SIZE, dtype=torch.bool)
        valid[:, :, :t] = False
        yield t, torch.full((3, *SIZE), 0.25 * (t + 1)), valid


def write(folder: Path, *, names: list[str] = NAMES, **options: object) -> None:
    write_results(folder, names, alignment(), reconstruction(), aligned(), **options)


def listing(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in listing(folder)}


WRITTEN = ["aligned/a.png", "aligned/b.png", "clean.png", "homographies.json", "weights/a.png", "weights/b.png"]
