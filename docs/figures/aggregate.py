"""The figures of ops/aggregate.md, from what its code has made."""

from __future__ import annotations

from typing import Any

from draw import canvas, show, tiles
from matplotlib.figure import Figure
from torch import Tensor

SHOWN = (0, 4, 8)  # the frames whose weights are shown: two with glare and things in front, one with shadows


def scored(page: dict[str, Any], name: str, image: Tensor, label: str = "label") -> str:
    """Return a title with the image's score."""
    return f"{name}, {page['psnr'](image.clamp(0, 1), page[label]).item():.1f} dB"


def frames(page: dict[str, Any]) -> Figure:
    """Show the aligned frames."""
    return tiles([f[:, ::2, ::2] for f in page["frames"][0]], [""] * 10, columns=5)


def exposure_gain(page: dict[str, Any]) -> Figure:
    """Show the frames after their gain."""
    return tiles([f[:, ::2, ::2] for f in page["even"][0]], [""] * 10, columns=5)


def mean_aggregate(page: dict[str, Any]) -> Figure:
    """Show the three results."""
    names = {"mean": "mean", "median": "median", "darkest": "soft minimum"}
    return tiles([page[n][0] for n in names], [scored(page, title, page[n]) for n, title in names.items()])


def softmax_aggregate(page: dict[str, Any]) -> Figure:
    """Show the result and some weights."""
    figure, axes = canvas(4)
    show(axes[0], page["agreed"][0], scored(page, "agreed", page["agreed"]))
    for place, t in zip(axes[1:], SHOWN, strict=True):
        show(place, page["weights"][0, t].mean(0), f"weights of frame {t}", vmin=0, vmax=0.3)
    return figure


def rpca_aggregate(page: dict[str, Any]) -> Figure:
    """Show the parts of a frame."""
    frame, low = page["small"][0, 4], page["low_rank"][0, 4]
    sparse = (frame - low).abs() * page["small_valid"][0, 4]
    return tiles([frame, low, sparse, page["robust"][0]], ["frame", "low rank", "sparse", "result"])


def intrinsic_aggregate(page: dict[str, Any]) -> Figure:
    """Show the result beside the original."""
    image = page["intrinsic"]
    return tiles([image[0], page["label"][0]], [scored(page, "intrinsic image", image), "original"])


def swin_block(page: dict[str, Any]) -> Figure:
    """Show the change in each frame, for windows in place and shifted."""
    figure, axes = canvas(3, 2, width=5.0)
    for row, (reach, name) in enumerate(zip(page["reach"], ("windows", "shifted windows"), strict=True)):
        for t, change in enumerate(reach):
            show(axes[3 * row + t], (change + 1e-6).log10(), f"frame {t}, {name}", vmin=-6, vmax=0.5)
    return figure


def swin_aggregate(page: dict[str, Any]) -> Figure:
    """Show results and weights."""
    figure, axes = canvas(6)
    show(axes[0], page["untrained"][0], scored(page, "untrained", page["untrained"], "tiny_label"))
    show(axes[1], page["trained"][0, :3], scored(page, "trained", page["trained"][:, :3], "tiny_label"))
    show(axes[2], page["tiny_label"][0], "original")
    for place, t in zip(axes[3:], SHOWN, strict=True):
        show(place, page["shares"][0, t].mean(0), f"weights {t}", vmin=0, vmax=0.4)
    return figure
