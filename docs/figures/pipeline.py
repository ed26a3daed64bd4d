"""The figures of ops/pipeline.md, from what its code has made."""

from __future__ import annotations

from typing import Any

import torch
from draw import BLUE, GREY, canvas, show, tiles
from matplotlib.figure import Figure

from diar_ops.pipeline import aligned_frames


def align_sequence(page: dict[str, Any]) -> Figure:
    """Show the photos with their verdicts above the aligned ones."""
    photos, alignment = page["photos"], page["alignment"]
    figure, axes = canvas(6, 2)
    aligned = {t: image for t, image, _ in aligned_frames(photos, alignment)}
    for t, (photo, verdict) in enumerate(zip(photos, page["verdicts"], strict=True)):
        show(axes[t], photo, verdict if verdict == "OK" else "refused")
        axes[6 + t].set_axis_off()
        if t in aligned:
            show(axes[6 + t], aligned[t])
    return figure


def reconstruct_sequence(page: dict[str, Any]) -> Figure:
    """Show the reference, the result, its coverage and the baseline."""
    clean, baseline, label = page["clean"], page["baseline"], page["label"]
    figure, axes = canvas(4)
    show(axes[0], page["frames"][0], "reference")
    for place, result, name in ((axes[1], clean, "diar"), (axes[2], baseline, "median")):
        show(place, result.image, f"{name}, {page['psnr'](result.image[None], label).item():.1f} dB")
    show(axes[3], clean.coverage.float(), "photos that show it", vmin=0, vmax=5)
    return figure


def settle_frames(page: dict[str, Any]) -> Figure:
    """Compare the moves."""
    figure, (axes, *_) = canvas(1, width=4.4, aspect=0.6)
    frames = torch.arange(5)
    axes.bar(frames - 0.18, page["shifts"], 0.36, color=GREY, label="moved by")
    axes.bar(frames + 0.18, page["relative"], 0.36, color=BLUE, label="found")
    axes.set(xlabel="frame", ylabel="pixels")
    axes.legend()
    return figure


def load_pretrained(page: dict[str, Any]) -> Figure:
    """Compare the sizes."""
    figure, (axes, *_) = canvas(1, width=4.4, aspect=0.35)
    bars = axes.barh(list(page["sizes"]), [n / 1000 for n in page["sizes"].values()], color=BLUE)
    axes.bar_label(bars, fmt=" %.0f thousand", color=GREY)
    axes.set(xlabel="thousands of parameters", xlim=(0, max(page["sizes"].values()) / 1000 * 1.3))
    axes.invert_yaxis()
    return figure


def scores(page: dict[str, Any]) -> Figure:
    """Show the copies with their scores."""
    titles = ["original"]
    for name, (rmse, psnr, ssim, sharpness) in page["scores"].items():
        second = f"SSIM {ssim.item():.3f}, sharpness {sharpness.item():.2f}"
        titles.append(f"{name}: RMSE {rmse.item():.3f}, {psnr.item():.1f} dB\n{second}")
    return tiles([page[n][0] for n in ("label", "soft", "noisy", "dark")], titles)
