#!/usr/bin/env python3
"""Real sequences by two methods side by side, looked at and measured without any original.

Each folder of photos is aligned once and reconstructed by both methods. There is no truth to compare
with: the measures below tell what an eye looks for.

written to the output folder:
  NAME.png    best single photo | before | after, in full, and up to two squares where both differ most
  real.csv    a line per sequence and method, see :data:`HEADS`

Examples:
  python -m benchmarks.quality.real_photos sequences/* --out real --methods median soft_minimum
  python -m benchmarks.quality.real_photos sequences/* --out real --weights old.safetensors diar
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.quality.csv_lines import to_csv
from diar_ops import (
    Alignment,
    DiarError,
    align_sequence,
    load_pretrained,
    median_aggregate,
    reconstruct_sequence,
    relative_sharpness,
)
from diar_ops._files import write_image
from diar_ops._pixels import fit_size, image_size, to_bytes
from diar_ops.data import list_images, read_photos
from diar_ops.pipeline import AGGREGATORS, aligned_frames

#: What is measured. ``sharpness``: :func:`relative_sharpness`. ``cast`` and ``worst_cast``: how far
#: the chroma of regions is off the median of the photos, the mean and the worst of 8 x 8 regions, in
#: shares of white. ``ghosts``: how much of what single photos show otherwise than their median comes
#: back in the picture, see :func:`ghost_share`.
HEADS = ("sequence", "method", "photos", "aligned", "sharpness", "cast", "worst_cast", "ghosts")
#: Sides of the pictures of a strip and of its squares, in pixels.
SHOWN, SQUARE = 480, 200
#: Regions along a side in which colours are compared.
REGIONS = 8
#: Radius of the mean that is taken off before ghosts are looked for, and what of a difference between
#: photos is noise.
_BROAD, _NOISE = 16, 0.02


class Photos(NamedTuple):
    """Aligned photos at a common exposure: (1, T, 3, H, W), and where they show something."""

    frames: Tensor
    valid: Tensor


def colour_cast(image: Tensor, photos: Photos) -> tuple[float, float]:
    """Return mean and worst chroma shift of regions against the median of the photos.

    Chroma is a channel's difference to the mean of the three; a region's is its median over pixels.
    """
    common = median_aggregate(photos.frames, photos.valid)
    shift = image - common
    shift = (shift - shift.mean(dim=1, keepdim=True))[0]
    shown = photos.valid[0].any(dim=0)
    rows, columns = (torch.linspace(0, n, REGIONS + 1).round().long().tolist() for n in image_size(image))
    casts = []
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            inside = shown[0, top:bottom, left:right]
            if inside.float().mean() > 0.5:
                casts.append(float(shift[:, top:bottom, left:right][:, inside].median(dim=1).values.norm()))
    return (sum(casts) / len(casts), max(casts)) if casts else (float("nan"), float("nan"))


def ghost_share(image: Tensor, photos: Photos) -> float:
    """Return how much of what photos add to the scene is left in the picture.

    Of each photo, what it shows brighter than the darker quarter of all, less broad differences of
    light, is correlated with what the picture shows so: the slope, summed over all photos, is the
    share of an average reflection that is left. A mean of T photos keeps 1 / T of what only one
    shows, 1 of what stands in all.
    """
    frames, valid = photos
    last = torch.where(valid, frames, torch.inf).sort(dim=1).values
    rank = ((valid.sum(dim=1, keepdim=True) - 1).clamp_min(0) // 4).expand_as(last[:, :1])
    dark = last.gather(1, rank).nan_to_num(posinf=0.0)
    shown = valid[:, :, 0].all(dim=1)
    if not bool(shown.any()):
        return float("nan")
    own = _without_broad((frames - dark)[0]).mean(dim=1)  # [T, H, W]
    left = _without_broad(image - dark[:, 0]).mean(dim=1)[0]
    strong = ((own.abs() > _NOISE) & shown).to(own)
    energy = (strong * own.square()).sum()
    return float((strong * own * left).sum() / energy) if energy > 0 else float("nan")


def _without_broad(images: Tensor) -> Tensor:
    side = 2 * _BROAD + 1
    padded = F.pad(images, (_BROAD,) * 4, mode="replicate") if min(images.shape[-2:]) > 1 else images
    return images - F.avg_pool2d(F.avg_pool2d(padded, (side, 1), stride=1), (1, side), stride=1)


def common_photos(frames: Sequence[Tensor], alignment: Alignment, gain: Tensor) -> Photos:
    """Return the aligned photos, brought to the light of the picture by one factor per channel."""
    images, masks = [], []
    for t, image, valid in aligned_frames(frames, alignment):
        images.append(((image + 0.055) * gain[t].clamp(0.1, 10)[:, None, None] ** (1 / 2.4) - 0.055).clamp(0, 1))
        masks.append(valid)
    return Photos(torch.stack(images)[None], torch.stack(masks)[None])


def best_photo(photos: Photos) -> int:
    """Return the photo that differs least from the median, among those that show the most."""
    shown = photos.valid[0].float().mean(dim=(1, 2, 3))
    common = median_aggregate(photos.frames, photos.valid)
    distance = ((photos.frames[0] - common).abs() * photos.valid[0]).mean(dim=(1, 2, 3)) / shown.clamp_min(1e-6)
    return int(torch.where(shown >= 0.95 * shown.max(), distance, torch.inf).argmin())


def strip(best: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Return best photo, before and after, each (3, H, W), beside each other, as (3, h, w) uint8."""
    pictures = torch.stack([best, before, after])
    height, width = fit_size(image_size(best), SHOWN)
    rows = [_row(F.interpolate(pictures, (height, width), mode="bilinear", antialias=True), 3 * SHOWN)]
    side = min(SQUARE, *image_size(best))
    step = max(1, side // 8)
    difference = F.avg_pool2d((after - before).abs().mean(dim=0)[None], side, stride=step)[0]
    for _ in range(2):
        row, column = divmod(int(difference.argmax()), difference.shape[1])
        if difference[row, column] < 0:
            break  # a small picture has room for one square only
        top, left = row * step, column * step
        crops = pictures[..., top : top + side, left : left + side]
        rows.append(_row(F.interpolate(crops, (SHOWN, SHOWN), mode="nearest"), 3 * SHOWN))
        apart = -(-side // step)
        difference[max(0, row - apart + 1) : row + apart, max(0, column - apart + 1) : column + apart] = -1
    return to_bytes(torch.cat(rows, dim=1))


def _row(pictures: Tensor, width: int) -> Tensor:
    row = torch.cat(list(pictures), dim=2)
    return F.pad(row, (0, width - row.shape[2], 0, 8), value=1.0)


def measure(image: Tensor, photos: Photos) -> list[float]:
    """Return the measures of :data:`HEADS` of a picture (1, 3, H, W)."""
    sharpness = float(relative_sharpness(image, photos.frames, photos.valid))
    return [sharpness, *colour_cast(image, photos), ghost_share(image, photos)]


def run_sequence(folder: Path, methods: Sequence[tuple[str, Any]], size: int, out: Path) -> list[list[Any]]:
    """Reconstruct a folder by two methods, write its strip, and return its lines of the table."""
    loaded, _ = read_photos(list_images(folder), max_size=size)
    frames = [photo.pixels for photo in loaded]
    alignment = align_sequence(frames, generator=torch.Generator().manual_seed(0))
    by_gain = reconstruct_sequence(frames, alignment, aggregator="median")
    photos = common_photos(frames, alignment, by_gain.gain)
    pictures = [reconstruct_sequence(frames, alignment, aggregator=method).image for _, method in methods]
    write_image(out / f"{folder.name}.png", strip(photos.frames[0, best_photo(photos)], *pictures), overwrite=True)
    counts = [len(frames), int(alignment.success.sum())]
    return [
        [folder.name, name, *counts, *(f"{x:.4f}" for x in measure(picture[None], photos))]
        for (name, _), picture in zip(methods, pictures, strict=True)
    ]


def _load(word: str) -> Any:
    return word if word in AGGREGATORS or word == "diar" else load_pretrained(word)


def main(argv: list[str] | None = None) -> int:
    """Run all folders and write the table; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="folders of photos")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="output folder")
    both = parser.add_mutually_exclusive_group(required=True)
    for name in ("--weights", "--methods"):
        both.add_argument(
            name,
            dest="methods",
            nargs=2,
            metavar=("BEFORE", "AFTER"),
            help="files of weights, diar, or names of aggregators",
        )
    parser.add_argument("--size", type=int, default=1024, metavar="PX", help="longest side (default: %(default)s)")
    options = parser.parse_args(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        names = [f"{when}: {Path(word).stem}" for when, word in zip(("before", "after"), options.methods, strict=True)]
        methods = list(zip(names, map(_load, options.methods), strict=True))
        lines: list[list[Any]] = []
        for folder in options.folders:
            try:
                lines += run_sequence(folder, methods, options.size, options.out)
            except DiarError as error:  # the other folders are still wanted
                print(f"{folder}: {error}", file=sys.stderr)
                continue
            for line in lines[-2:]:
                print("  ".join(str(cell) for cell in line), flush=True)
            (options.out / "real.csv").write_text(to_csv(HEADS, lines), encoding="utf-8")
    except DiarError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
