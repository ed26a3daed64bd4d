"""Measure find_outline and rectified_canvas on rendered, misaligned sequences.

In sequence k, view k (modulo their number) is the reference; view 0 sees nothing but the picture.
Views of rendered sets have the picture's proportions in pixels: those of pixels are first made
square. Writes ``outline.csv``.

    python -m benchmarks.quality.outline SETS... --out DIR
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.quality.program import program_parser, run_program
from diar_ops import Alignment, ProportionSource, align_sequence
from diar_ops._files import write_text_atomic
from diar_ops._pixels import image_size, resize_matrix
from diar_ops.data import SequenceDataset
from diar_ops.geometry import transform_points
from diar_ops.pipeline import find_outline, rectified_canvas


def square_pixels(
    frames: Tensor, homography_frame_label: Tensor, picture: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """Resize frames (T, 3, H, W) and their homographies such that pixels of the cameras are square."""
    height, width = frames.shape[-2:]
    aspect = picture[1] / picture[0] * height / width
    size = (round(height / aspect), width) if aspect > 1 else (height, round(width * aspect))
    resized = F.interpolate(frames, size, mode="bicubic", antialias=True).clamp(0, 1)
    return resized, resize_matrix((height, width), size) @ homography_frame_label


def measure(frames: Tensor, homography_frame_label: Tensor, label: tuple[int, int], reference: int, align: bool) -> Any:
    """Return one row: corners in percent of the picture's shortest side, proportions in percent."""
    size = (frames.shape[-2], frames.shape[-1])
    count = len(frames)
    if align:
        alignment = align_sequence(frames, reference=reference)
    else:
        H = homography_frame_label[reference] @ torch.linalg.inv(homography_frame_label)
        alignment = Alignment.from_homographies(H, [size] * count, reference=reference)
    height, width = label
    corners = torch.tensor([[0, 0], [width, 0], [width, height], [0, height]], dtype=torch.float64) - 0.5
    truth = transform_points(corners, homography_frame_label[reference]).points
    limit = torch.tensor([size[1] - 0.5, size[0] - 0.5], dtype=torch.float64)
    outline = find_outline(frames, alignment)
    row: dict[str, Any] = {
        "reference": reference,
        "in_view": bool(((truth >= -0.5 - 1e-6) & (truth <= limit + 1e-6)).all()),
        "found": outline.found,
        "certainty": round(outline.certainty, 3),
    }
    if outline.found:
        shortest = float((truth.roll(-1, 0) - truth).norm(dim=-1).min())
        row["corners"] = round(100 * float((outline.corners - truth).norm(dim=-1).max()) / shortest, 3)
        found = rectified_canvas(outline.corners, alignment, [size] * count).rectification
        row["proportion"] = 100 * float(found.proportion[0]) - 100
        row["sigma"] = round(100 * float(found.proportion_sigma[0]), 3)
        row["source"] = ProportionSource(int(found.source[0])).name
    return row


def main(argv: Sequence[str] | None = None) -> int:
    """Run the measurement and return the exit code."""
    parser = program_parser("outline", __doc__)
    parser.add_argument("sets", nargs="+", metavar="SETS", help="folders of rendered sequences")
    parser.add_argument("--out", required=True, metavar="DIR", help="where outline.csv goes")
    parser.add_argument("--true-homographies", action="store_true", help="take the known homographies, align nothing")
    return run_program(_run, parser, argv)


def _run(options: argparse.Namespace) -> None:
    dataset = SequenceDataset(options.sets)
    rows = []
    for index in range(len(dataset)):
        item, document = dataset[index], dataset.sequence(index).document
        picture = tuple(document["picture"]["size"])
        frames, H = square_pixels(item["frames"], item["homography_frame_label"], picture)
        reference = index % len(frames)
        row = measure(frames, H, image_size(item["label"]), reference, not options.true_homographies)
        if "proportion" in row:
            row["proportion"] = round((row["proportion"] + 100) * picture[0] / picture[1] - 100, 3)
        rows.append({"sequence": item["name"], **row})
        print(rows[-1], flush=True)
    names = ["sequence", "reference", "in_view", "found", "certainty", "corners", "proportion", "sigma", "source"]
    text = io.StringIO()
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    writer.writerows(rows)
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    write_text_atomic(out / "outline.csv", text.getvalue(), overwrite=True)
    for title, chosen in (("in view", [r for r in rows if r["in_view"]]), ("all", rows)):
        good = sum(r.get("corners", 100) <= 1 for r in chosen)
        exact = sum(abs(r.get("proportion", 100)) <= 1 for r in chosen)
        wrong = sum(r.get("corners", 0) > 3 for r in chosen)
        print(
            f"{title}: {len(chosen)} sequences, {sum(r['found'] for r in chosen)} found, corners within 1 % in {good}, "
            f"proportions within 1 % in {exact}, wrong by more than 3 % in {wrong}"
        )


if __name__ == "__main__":
    raise SystemExit(main())
