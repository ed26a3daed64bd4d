#!/usr/bin/env python3
"""Put large pictures together from photos of their parts, and compare with the pictures.

  python -m benchmarks.quality.mosaic --textures paintings/val --pictures 3 --out out/mosaic

photographs each picture in 12 parts of which none shows a third, each with its own view, light and
exposure, puts them together by our pipeline and by OpenCV's stitcher in scans mode, lays each result
over the picture by one homography, and measures what is left.

written to the output folder:
  mosaic.csv   a line per picture and method
  mosaic.md    the same as a table
  PICTURE/     the photos, the picture, and the results
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.quality.mosaic.parts import Parts, photograph_parts
from benchmarks.quality.mosaic.scores import MosaicScores, frame_errors, score_mosaic
from benchmarks.quality.program import program_parser, run_program
from diar_ops import align_sequence, reconstruct_sequence
from diar_ops._files import write_image, write_text_atomic
from diar_ops._pixels import fit_size, image_size, image_to_float
from diar_ops.data import list_images, read_image
from diar_ops.pipeline import mosaic_canvas

COLUMNS = ("picture", "method", "photos", "worst_px", *MosaicScores._fields, "seconds")


def put_together(parts: Parts, aggregator: str) -> tuple[Tensor, Tensor, int, float]:
    """Return our picture, what it shows, how many photos are in, and the worst point of any in pixels."""
    alignment = align_sequence(parts.frames)
    canvas = mosaic_canvas(alignment, [image_size(frame) for frame in parts.frames]).canvas
    result = reconstruct_sequence(parts.frames, alignment, canvas=canvas, aggregator=aggregator)
    errors = [error for error in frame_errors(alignment, parts) if not math.isnan(error)]
    return result.image, result.coverage > 0, len(errors), max(errors)


def stitch(parts: Parts) -> tuple[Tensor, Tensor, int, float] | None:
    """Return the same of OpenCV's stitcher for scans, which keeps its homographies; ``None`` if it gives up."""
    import cv2

    opencv: Any = cv2  # whose stubs miss this class
    stitcher = opencv.Stitcher_create(opencv.Stitcher_SCANS)
    status, image = stitcher.stitch([frame.flip(0).movedim(0, -1).contiguous().numpy() for frame in parts.frames])
    if status != opencv.Stitcher_OK:
        return None
    whole = torch.from_numpy(image).flip(-1).movedim(-1, 0).float() / 255
    return whole, whole.amax(0, keepdim=True) > 0, len(stitcher.component()), math.nan


def measure(name: str, picture: Tensor, folder: Path, aggregators: Sequence[str], seed: int) -> list[dict[str, object]]:
    """Photograph a picture, put it together by each method, and return the rows."""
    parts = photograph_parts(picture, generator=torch.Generator().manual_seed(seed))
    write_image(folder / "picture.png", picture, overwrite=True)
    for t, frame in enumerate(parts.frames):
        write_image(folder / "photos" / f"{t:02d}.png", image_to_float(frame), overwrite=True)
    rows = []
    for method in (*aggregators, "OpenCV scans"):
        start = time.perf_counter()
        made = put_together(parts, method) if method in aggregators else stitch(parts)
        row: dict[str, object] = dict.fromkeys(COLUMNS, "")
        row.update(picture=name, method=method, seconds=f"{time.perf_counter() - start:.0f}", photos=0)
        if made is not None:
            image, shown, count, worst = made
            write_image(folder / f"{method}.png", image, valid=shown, overwrite=True)
            row.update(photos=count, worst_px="" if math.isnan(worst) else f"{worst:.2f}")
            scores = score_mosaic(image, shown, picture, parts)
            row.update({} if scores is None else {key: f"{value:.3f}" for key, value in scores._asdict().items()})
        rows.append(row)
        print(*row.values(), sep="  ", flush=True)
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Run the measurement and return the exit code."""
    parser = program_parser("mosaic", __doc__)
    parser.add_argument("--textures", type=Path, required=True, help="folder of large pictures")
    parser.add_argument("--pictures", type=int, default=3, help="how many of them (default: 3)")
    parser.add_argument("--size", type=int, default=1200, help="their longer side in pixels (default: 1200)")
    parser.add_argument("--aggregators", nargs="+", default=["diar", "median"], help="of ours (default: diar median)")
    parser.add_argument("--seed", type=int, default=0, help="of views and light (default: 0)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    return run_program(_run, parser, argv)


def _run(options: argparse.Namespace) -> None:
    rows: list[dict[str, object]] = []
    for file in list_images([options.textures])[: options.pictures]:
        whole = image_to_float(read_image(file).pixels)[None]
        size = fit_size(image_size(whole), options.size, enlarge=True)
        picture = 0.05 + 0.85 * F.interpolate(whole, size, mode="bilinear", antialias=True)[0]
        rows += measure(file.stem, picture, options.out / file.stem, options.aggregators, options.seed)
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text_atomic(options.out / "mosaic.csv", text.getvalue(), overwrite=True)
    lines = [COLUMNS, ["---"] * len(COLUMNS), *(row.values() for row in rows)]
    table = "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)
    write_text_atomic(options.out / "mosaic.md", table, overwrite=True)


if __name__ == "__main__":
    sys.exit(main())
