"""Small sequences on disk whose frames are exact: every pixel is computed, none is resampled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diar_ops._files import write_image
from diar_ops.data import format_document, frame_names, sequence_document, write_flags, write_mask
from diar_ops.scene import sample_planar_scene, scene_homography
from tests.harness import generator

SIZE = (48, 64)


def picture(points: Tensor, seed: int = 0) -> Tensor:
    """Return a smooth picture (3, ...) at points (..., 2) in pixels of the label."""
    draw = torch.rand(3, 4, 4, generator=generator(f"picture-{seed}"), dtype=torch.float64)
    # Wave lengths from 14 pixels on: interpolation finds the picture again.
    waves = (draw[..., :2] - 0.5) * (2 * torch.pi / 10)
    phase = points @ waves.flatten(0, 1).T + 2 * torch.pi * draw[..., 2].flatten()
    sums = phase.sin().unflatten(-1, (3, 4)).mean(dim=-1)
    return (0.5 + 0.45 * sums).movedim(-1, 0)


def grid(size: tuple[int, int]) -> Tensor:
    """Return the pixel centres (H, W, 2) of a picture."""
    y, x = torch.meshgrid(*(torch.arange(s, dtype=torch.float64) for s in size), indexing="ij")
    return torch.stack((x, y), dim=-1)


def view(homography_frame_label: Tensor, size: tuple[int, int], seed: int = 0) -> Tensor:
    """Return the frame (3, H, W) float64 that sees the picture without end through H."""
    points = grid(size)
    lifted = torch.cat((points, torch.ones_like(points[..., :1])), dim=-1)
    projected = lifted @ torch.linalg.inv(homography_frame_label).T
    return picture(projected[..., :2] / projected[..., 2:], seed)


def write_sequence(
    folder: Path,
    *,
    kind: str = "misaligned",
    frames: int = 4,
    size: tuple[int, int] = SIZE,
    index: int = 0,
    masks: tuple[str, ...] = ("occluded", "flags"),
) -> dict[str, Any]:
    """Write a sequence without light and things, but with (random) masks; return its document."""
    scene = sample_planar_scene(
        frames=frames, size=size, picture_size=size, kind=kind, generator=generator(f"sequence-{kind}-{index}")
    )
    folder.mkdir(parents=True)
    (folder / "masks").mkdir()
    eye = torch.eye(3, dtype=torch.float64)
    # Sixteen bits: what tests of geometry measure should not be the rounding of files.
    write_image(folder / "label.png", view(eye, size, index), bit_depth=16)
    for t, (names, H) in enumerate(zip(frame_names(frames), scene_homography(scene)[0], strict=True)):
        write_image(folder / names.file, view(H, size, index), bit_depth=16)
        noise = generator(f"masks-{index}-{t}")
        if "occluded" in masks:
            write_mask(folder / names.occluded, torch.rand(1, *size, generator=noise) < 0.2)
        if "flags" in masks:
            flags = torch.randint(8, (1, *size), generator=noise).to(torch.uint8)
            write_flags(folder / names.flags, flags)
    document = sequence_document(
        scene,
        kind=kind,
        index=index,
        seed=0,
        masks=masks,
        texture={"file": f"{folder.name}.jpg", "size": list(size)},
        software={"tests": "1"},
        render={"engine": "formula"},
    )
    (folder / "sequence.json").write_text(format_document(document), encoding="utf-8")
    return document


def write_dataset(folder: Path, sequences: int = 3, **options: Any) -> Path:
    """Write a data set of small sequences."""
    for index in range(sequences):
        write_sequence(folder / f"{index:06d}", index=index, **options)
    return folder
