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
import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from _cli import argument_parser, exit_code
from diar_ops import photograph, render_planar_scene, warp_homography
from diar_ops._files import atomic_path, write_image, write_text_atomic
from diar_ops.cycles import contact_sheet, prepare_texture
from diar_ops.data import SequenceDataset, read_image
from diar_ops.scene import CameraRanges, FrameFlag, scene_from_document

#: Bins of the histograms of frame minus label, from -1 to 1; an odd number, so that none ends at 0.
BINS = 81


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argument_parser(__doc__)
    add = parser.add_argument
    add("set", metavar="SET", help="folder that examples/render_dataset.py rendered")
    add("images", metavar="IMAGES_DIR", help="folder of the pictures that it shows")
    add("--out", metavar="DIR", default="comparison", help="output folder (default: %(default)s)")
    add(
        "--sequences",
        type=int,
        default=6,
        metavar="N",
        help="compare the first N sequences (default: %(default)s)",
    )
    add("--device", default="cpu", help="where torch renders (default: %(default)s)")
    return parser.parse_args(argv)


def residuals(frames: Tensor, label: Tensor, homography_frame_label: Tensor) -> Tensor:
    """Lay frames (T, 3, H, W) over the label (3, h, w) and return how they differ there."""
    back = torch.linalg.inv(homography_frame_label).to(frames.dtype)
    laid = warp_homography(frames, back, size=(label.shape[-2], label.shape[-1]))
    return (laid.image - label)[laid.valid.expand(-1, 3, -1, -1)]


def run(options: argparse.Namespace) -> str:
    """Compare, and return the table."""
    dataset = SequenceDataset(options.set, masks=("occluded", "flags"))
    count = min(options.sequences, len(dataset))
    rows: list[tuple[Tensor, Tensor]] = []
    sums: dict[str, list[tuple[float, ...]]] = {}
    # As Cycles' frames are stored: what only rounding changes would else fall into other bins.
    plain = replace(CameraRanges.plain(), eight_bits=True)
    histograms = torch.zeros(2, BINS, dtype=torch.float64)
    for index in tqdm(range(count), desc="rendering", unit="sequence", disable=None):
        document = dataset.sequence(index).document
        scene, item = scene_from_document(document), dataset[index]
        picture = read_image(Path(options.images) / document["texture"]["file"])
        texture = prepare_texture(picture, scene.size)[None].to(options.device).float() / 255
        with torch.no_grad():
            rendered = render_planar_scene(texture, scene)
            frames = photograph(rendered.radiance, ranges=plain)[0].cpu()
        cycles, label, H = item["frames"], item["label"], item["homography_frame_label"]
        difference = (frames - cycles).abs()
        free = ~(item["occluded"] | rendered.occluded[0].cpu()).expand_as(frames)
        figures: dict[str, tuple[float, ...]] = {
            "mean absolute difference": (float(difference.mean()),),
            "mean absolute difference, nothing in front": (float(difference[free].mean()),),
            "mean brightness": (float(cycles.mean()), float(frames.mean())),
        }
        seen = rendered.visible[0].cpu()
        for name, flag in (("shadow", FrameFlag.SHADOW), ("highlight", FrameFlag.HIGHLIGHT)):
            masks = (item["flags"] & int(flag)) > 0, getattr(rendered, name)[0].cpu()
            figures[f"share in {name}"] = _shares(masks, seen)
        figures["share occluded"] = _shares((item["occluded"], rendered.occluded[0].cpu()), seen)
        for name, figure in figures.items():
            sums.setdefault(name, []).append(figure)
        for histogram, several in zip(histograms, (cycles, frames), strict=True):
            histogram += torch.histc(residuals(several, label, H), BINS, -1, 1).double()
        rows += [(label, cycles), (rendered.label[0].cpu(), frames)]
        rows.append(((rendered.label[0].cpu() - label).abs() * 2, difference * 2))

    histograms /= histograms.sum(dim=1, keepdim=True)
    cumulated = (histograms[0] - histograms[1]).cumsum(0).abs()
    report = {name: torch.tensor(values).mean(0).tolist() for name, values in sums.items()}
    distances = {
        "total variation": float((histograms[0] - histograms[1]).abs().sum() / 2),
        "earth mover's": float(cumulated.sum() * 2 / BINS),
    }
    out = Path(options.out)
    write_image(out / "frames.png", contact_sheet(rows), overwrite=True)
    plot_residuals(histograms, out / "residuals.png")
    document = {"sequences": count, "cycles and torch, or both": report, "residuals": distances}
    write_text_atomic(
        out / "comparison.json", json.dumps(document, indent=1) + "\n", overwrite=True
    )
    lines = ["| mean over all frames | Cycles | torch |", "| --- | ---: | ---: |"]
    for name, values in report.items():
        cells = [f"{value:.4f}" for value in values]
        lines.append(f"| {name} | {' | '.join(cells if len(cells) == 2 else [*cells, ''])} |")
    for name, value in distances.items():
        lines.append(f"| {name} distance of the residuals | {value:.4f} | |")
    return "\n".join((*lines, "", f"{count} sequences; see {out / 'frames.png'}"))


def _shares(masks: tuple[Tensor, Tensor], seen: Tensor) -> tuple[float, float]:
    first, second = (float((mask & seen).sum() / seen.sum()) for mask in masks)
    return first, second


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
    with io.BytesIO() as buffer:
        figure.savefig(buffer, format="png", dpi=110)
        with atomic_path(path, overwrite=True) as temporary:
            temporary.write_bytes(buffer.getvalue())


def main(argv: list[str] | None = None) -> int:
    """Run the script and return its exit code."""
    options = parse_arguments(argv)
    return exit_code(
        lambda: run(options), less_memory="compare fewer --sequences", stopped="nothing was written"
    )


if __name__ == "__main__":
    sys.exit(main())
