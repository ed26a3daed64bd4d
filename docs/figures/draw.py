"""Figures for light and dark pages: no background, grey letters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

GREY = "#808080"
BLUE, ORANGE, GREEN, RED = "#3b82c4", "#dd8400", "#2e9e5b", "#d64545"

STYLE = {
    "axes.edgecolor": GREY,
    "axes.labelcolor": GREY,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": GREY,
    "axes.titlesize": 9,
    "font.size": 9,
    "image.cmap": "magma",
    "legend.frameon": False,
    "legend.labelcolor": GREY,
    "savefig.transparent": True,
    "text.color": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
}
mpl.rcParams.update(STYLE)


def pixels(image: Tensor) -> Tensor:
    """Return an image (3, H, W), (1, H, W) or (H, W) as matplotlib takes it."""
    image = image.detach().float()
    if image.ndim == 3:
        image = image.movedim(0, -1).squeeze(-1)
    return image.clamp(0, 1) if image.ndim == 3 else image


def canvas(
    columns: int, rows: int = 1, *, width: float = 7.6, aspect: float = 1.0, lines: int = 1
) -> tuple[Figure, list[Axes]]:
    """Make a figure of axes in rows and columns, each ``aspect`` as high as wide, below titles of some lines."""
    height = width / columns * aspect * rows + (0.14 + 0.16 * lines) * rows
    figure = Figure((width, height), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def show(axes: Axes, image: Tensor, title: str = "", **options: object) -> None:
    """Show an image without ticks."""
    axes.imshow(pixels(image), interpolation="nearest", **options)
    axes.set_title(title)
    axes.set_axis_off()


def tiles(images: Sequence[Tensor], titles: Sequence[str], *, columns: int | None = None) -> Figure:
    """Show images side by side with a title over each."""
    columns = columns or len(images)
    height, width = images[0].shape[-2:]
    figure, axes = canvas(columns, -(-len(images) // columns), aspect=height / width, lines=1 + titles[-1].count("\n"))
    for place, image, title in zip(axes, images, titles, strict=False):
        show(place, image, title)
    for place in axes[len(images) :]:
        place.set_axis_off()
    return figure


def lines(image0: Tensor, image1: Tensor, points0: Tensor, points1: Tensor, colours: Sequence[str]) -> Figure:
    """Show two images side by side and join their points (N, 2)."""
    gap = 12
    figure, (axes, *_) = canvas(1, aspect=image0.shape[-2] / (2 * image0.shape[-1] + gap))
    blank = torch.ones(1, *image0.shape[-2:])
    left, right = (torch.cat([i, blank]) for i in (image0, image1))  # with alpha: the gap is empty
    show(axes, torch.cat([left, torch.zeros(4, image0.shape[-2], gap), right], dim=-1))
    shift = torch.tensor([image0.shape[-1] + gap, 0.0])
    for start, end, colour in zip(points0.tolist(), (points1 + shift).tolist(), colours, strict=True):
        axes.plot([start[0], end[0]], [start[1], end[1]], color=colour, linewidth=0.7, alpha=0.8)
    return figure


def components(features: Tensor) -> Tensor:
    """Return the three main components of features (C, h, w) as colours (3, h, w)."""
    flat = features.flatten(1) - features.flatten(1).mean(1, keepdim=True)
    basis = torch.linalg.svd(flat, full_matrices=False).U[:, :3]
    basis = basis * torch.where(basis.sum(0) < 0, -1.0, 1.0)
    colours = (basis.mT @ flat).unflatten(1, features.shape[1:])
    scale = colours.flatten(1).std(1)[:, None, None]
    return (0.5 + colours / (4 * scale)).clamp(0, 1)


def save(figure: Figure, path: Path, *, dpi: int = 130) -> None:
    """Write a figure as WebP, which keeps pictures and lines small."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=dpi, pil_kwargs={"quality": 82, "method": 6})
