"""The figures of ops/scene.md, from what its code has made."""

from __future__ import annotations

from typing import Any

import torch
from draw import canvas, show, tiles
from matplotlib.figure import Figure
from torch import Tensor


def srgb(page: dict[str, Any], radiance: Tensor) -> Tensor:
    """Show linear light as a screen does."""
    return page["linear_to_srgb"](radiance.clamp(0, 1))


def render_planar_scene(page: dict[str, Any]) -> Figure:
    """Show the frames above their masks."""
    rendered = page["rendered"]
    figure, axes = canvas(6, 2)
    show(axes[0], rendered.label[0], "label")
    axes[6].set_axis_off()
    masks = torch.cat([rendered.occluded, rendered.highlight, rendered.shadow], dim=2)[0].float()
    for t in range(5):
        show(axes[1 + t], srgb(page, rendered.radiance[0, t]), f"frame {t}")
        show(axes[7 + t], 0.15 + 0.85 * masks[t])
    return figure


def glass_and_bends(page: dict[str, Any]) -> Figure:
    """Show the frames of both sequences."""
    both = [*page["behind_glass"].radiance[0], *page["curled"].radiance[0]]
    return tiles([srgb(page, r) for r in both], ["behind glass"] * 3 + ["bent"] * 3)


def photograph(page: dict[str, Any]) -> Figure:
    """Show frames above photos."""
    images = [*page["plain"][0, :4], *page["photos"][0, :4]]
    return tiles(images, ["rendered"] * 4 + ["photographed"] * 4, columns=4)


def jpeg_compress(page: dict[str, Any]) -> Figure:
    """Show the qualities with their scores."""
    detail, compressed = page["detail"], page["compressed"]
    titles = [f"quality {q}, {page['psnr'](c, detail).item():.0f} dB" for q, c in compressed.items()]
    return tiles([c[0] for c in compressed.values()], titles)
