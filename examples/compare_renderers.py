#!/usr/bin/env python3
"""Render the scenes of a Cycles data set again in torch, and compare the two.

Every sequence.json describes its scene completely, so that both renderers can show the very same
one. This says how alike their frames are, pixel by pixel and as distributions of what training
sees: frame minus label.

Example:
  python examples/compare_renderers.py sets/misaligned-val paintings/val --out comparison/

written to the output folder:
  frames.png          per sequence three rows: Cycles, torch, twice their difference
  residuals.png       histograms of frame minus label, per pixel of the picture
  comparison.json     the figures that are printed
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

# First, before torch: it sets up the threads.
from _cli import Argument, argument_parser, exit_code

# isort: split
import torch
from torch import Tensor
from tqdm import tqdm

from diar_ops import photograph, render_planar_scene, warp_homography
from diar_ops._files import atomic_path, write_image, write_text_atomic
from diar_ops._pixels import image_size
from diar_ops.cycles import contact_sheet, prepare_texture
from diar_ops.data import SequenceDataset, read_image
from diar_ops.scene import CameraRanges, FrameFlag, scene_from_document

ARGUMENTS = (
    Argument("set", "SET", "folder that examples/render_dataset.py rendered"),
    Argument("images", "IMAGES_DIR", "folder of the pictures that it shows"),
    Argument("--out", "DIR", "output folder (default: %(default)s)", default="comparison"),
    Argument("--sequences", "N", "compare the first N sequences (default: %(default)s)", type=int, default=6),
    Argument("--device", "DEVICE", "where torch renders (default: %(default)s)", default="cpu"),
)
#: Bins of the histograms of frame minus label, from -1 to 1; an odd number, so that none ends at 0.
BINS = 81
#: As Cycles' frames are stored: what only rounding changes would else fall into other bins.
CAMERA = replace(CameraRanges.plain(), eight_bits=True)


class Comparison(NamedTuple):
    """One sequence, rendered by Cycles and by torch.

    Attributes:
        rows: (label, frames) of a contact sheet.
        figures: Numbers by name: one of both renderers together, or one of each.
        histograms: (2, BINS), counts of frame minus label.
    """

    rows: list[tuple[Tensor, Tensor]]
    figures: dict[str, tuple[float, ...]]
    histograms: Tensor


def compare_sequence(dataset: SequenceDataset, index: int, images: Path, device: str) -> Comparison:
    """Render a sequence in torch and compare it with what Cycles made of the same scene."""
    document = dataset.sequence(index).document
    scene, item = scene_from_document(document), dataset[index]
    picture = read_image(images / document["texture"]["file"])
    texture = prepare_texture(picture, scene.size)[None].to(device).float() / 255
    with torch.no_grad():
        rendered = render_planar_scene(texture, scene)
        generator = torch.Generator().manual_seed(index)
        frames = photograph(rendered.radiance, ranges=CAMERA, generator=generator)[0].cpu()
    cycles, label, H = item["frames"], item["label"], item["homography_frame_label"]
    rendered_label = rendered.label[0].cpu()
    occluded = item["occluded"], rendered.occluded[0].cpu()
    difference = (frames - cycles).abs()
    free = ~(occluded[0] | occluded[1]).expand_as(frames)
    figures: dict[str, tuple[float, ...]] = {
        "mean absolute difference": (float(difference.mean()),),
        "mean absolute difference, nothing in front": (float(difference[free].mean()),),
        "mean brightness": (float(cycles.mean()), float(frames.mean())),
    }
    visible = rendered.visible[0].cpu()
    for name, flag in (("shadow", FrameFlag.SHADOW), ("highlight", FrameFlag.HIGHLIGHT)):
        masks = (item["flags"] & int(flag)) > 0, getattr(rendered, name)[0].cpu()
        figures[f"share in {name}"] = _shares(masks, visible)
    figures["share occluded"] = _shares(occluded, visible)
    rows = [(label, cycles), (rendered_label, frames)]
    rows.append(((rendered_label - label).abs() * 2, difference * 2))
    histograms = [torch.histc(residuals(pixels, label, H), BINS, -1, 1).double() for pixels in (cycles, frames)]
    return Comparison(rows, figures, torch.stack(histograms))


def residuals(frames: Tensor, label: Tensor, homography_frame_label: Tensor) -> Tensor:
    """Warp frames (T, 3, H, W) to the label (3, h, w) and return how they differ there."""
    H = torch.linalg.inv(homography_frame_label).to(frames.dtype)
    warped = warp_homography(frames, H, size=image_size(label))
    return (warped.image - label)[warped.valid.expand(-1, 3, -1, -1)]


def _shares(masks: tuple[Tensor, Tensor], visible: Tensor) -> tuple[float, float]:
    first, second = (float((mask & visible).sum() / visible.sum()) for mask in masks)
    return first, second


def run(options: argparse.Namespace) -> str:
    """Compare, write the results, and return the table."""
    dataset = SequenceDataset(options.set, masks=("occluded", "flags"))
    count, out = min(options.sequences, len(dataset)), Path(options.out)
    comparisons = [
        compare_sequence(dataset, index, Path(options.images), options.device)
        for index in tqdm(range(count), desc="rendering", unit="sequence", disable=None)
    ]
    figures = {
        name: torch.tensor([comparison.figures[name] for comparison in comparisons]).mean(0).tolist()
        for name in comparisons[0].figures
    }
    histograms = torch.stack([comparison.histograms for comparison in comparisons]).sum(0)
    histograms /= histograms.sum(dim=1, keepdim=True)
    difference = histograms[0] - histograms[1]
    distances = {
        "total variation": float(difference.abs().sum() / 2),
        "earth mover's": float(difference.cumsum(0).abs().sum() * 2 / BINS),
    }
    rows = [row for comparison in comparisons for row in comparison.rows]
    write_image(out / "frames.png", contact_sheet(rows), overwrite=True)
    plot_residuals(histograms, out / "residuals.png")
    document = {"sequences": count, "cycles and torch, or both": figures, "residuals": distances}
    text = json.dumps(document, indent=1) + "\n"
    write_text_atomic(out / "comparison.json", text, overwrite=True)
    return f"{_table(figures, distances)}\n\n{count} sequences; see {out / 'frames.png'}"


def _table(figures: Mapping[str, Sequence[float]], distances: Mapping[str, float]) -> str:
    lines = ["| mean over all frames | Cycles | torch |", "| --- | ---: | ---: |"]
    for name, values in figures.items():
        cells = [f"{value:.4f}" for value in values]
        lines.append(f"| {name} | {' | '.join(cells if len(cells) == 2 else [*cells, ''])} |")
    for name, value in distances.items():
        lines.append(f"| {name} distance of the residuals | {value:.4f} | |")
    return "\n".join(lines)


def plot_residuals(histograms: Tensor, path: Path) -> None:
    """Draw the two histograms (2, BINS) over each other."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    edges = torch.linspace(-1, 1, BINS + 1).numpy()
    for values, name in zip(histograms, ("Cycles", "torch"), strict=True):
        axes.stairs((values * BINS / 2).numpy(), edges, label=name, linewidth=1.5)
    axes.set(xlabel="frame minus label (sRGB)", ylabel="density", yscale="log", xlim=(-1, 1))
    axes.legend()
    with atomic_path(path, overwrite=True) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def main(argv: list[str] | None = None) -> int:
    """Run the script and return its exit code."""
    options = argument_parser(__doc__, *ARGUMENTS).parse_args(argv)
    return exit_code(lambda: run(options), less_memory="compare fewer --sequences", stopped="nothing was written")


if __name__ == "__main__":
    sys.exit(main())
