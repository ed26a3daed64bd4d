"""Frames of one textured picture, with known homographies, that every matcher can align."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.quality.alignment.frame_errors import ENTRIES
from benchmarks.quality.rows import Row
from diar_ops import homography_dlt, warp_homography
from diar_ops._files import write_image
from tests.harness import generator
from tests.sequences import write_sequence

SIZE = (96, 128)


def texture(size: tuple[int, int] = SIZE) -> Tensor:
    """Return a picture (3, H, W) with corners and blobs of several sizes."""
    octaves = []
    for cells, mode in ((6, "bicubic"), (12, "nearest"), (24, "nearest")):
        noise = torch.rand(1, 3, cells, cells, generator=generator(f"texture-{cells}"))
        octaves.append(F.interpolate(noise, size, mode=mode))
    return torch.stack(octaves).mean(0)[0].clamp(0, 1)


def views(count: int = 3, size: tuple[int, int] = SIZE) -> tuple[Tensor, Tensor]:
    """Return frames (T, 3, H, W), and ``homography_frame_label``: frame 0 is the label."""
    right, bottom = size[1] - 1.0, size[0] - 1.0
    corners = torch.tensor([[0, 0], [right, 0], [right, bottom], [0, bottom]], dtype=torch.float64)
    moves = torch.randn(count, 4, 2, generator=generator("views"), dtype=torch.float64) * 3
    moves[0] = 0
    H = homography_dlt(corners.expand(count, 4, 2), corners + moves)
    H[0] = torch.eye(3, dtype=torch.float64)
    picture = texture(size).expand(count, 3, *size)
    return warp_homography(picture, H.float(), size=size).image.clamp(0, 1), H


def write_views(folder: Path, count: int = 3) -> Path:
    """Write a sequence of views that matchers can align."""
    document = write_sequence(folder, frames=count, size=SIZE, masks=())
    frames, H = views(count)
    write_image(folder / "label.png", frames[0], overwrite=True)
    for t, frame in enumerate(document["frames"]):
        write_image(folder / frame["file"], frames[t], overwrite=True)
        frame["homography_frame_label"] = H[t].tolist()
        del frame["homography_label_frame"]
    _write_document(folder, document)
    return folder


def _write_document(folder: Path, document: dict[str, Any]) -> None:
    from diar_ops.data import format_document

    (folder / "sequence.json").write_text(format_document(document), encoding="utf-8")


def row(
    sequence: int,
    method: str,
    error: float,
    *,
    frame: int = 1,
    success: bool | None = None,
    distance: float | None = None,
    name: str = "set",
) -> Row:
    """Return a row with an error; without success where it is infinite."""
    fine = error != float("inf") if success is None else success
    values = {
        "frame": frame,
        "corner_error": error,
        "distance": error / 10 if distance is None else distance,
        "success": fine,
        "seconds": 0.3,
        "threads": 1,
        **dict(zip(ENTRIES, torch.eye(3).flatten().tolist(), strict=True)),
    }
    return Row(name, f"{sequence:06d}", 3, method, values)
