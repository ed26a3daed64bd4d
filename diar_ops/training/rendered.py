"""Rendered sequences to learn the restoration of pictures from."""

from __future__ import annotations

import torch
from torch import Tensor

from diar_ops._pixels import to_bytes
from diar_ops.scene import render_planar_scene, sample_planar_scene
from diar_ops.training.kept import KeptSequences, kept_light

__all__ = ["RenderedSequences"]


class RenderedSequences(KeptSequences):
    """Aligned sequences from the torch renderer; see :class:`KeptSequences`.

    Items: ``radiance`` (T, 3, H, W) float16, linear light, white paper in the label's light is 1;
    ``label`` (3, H, W) uint8 sRGB, the clean picture.
    """

    purpose = "training"

    def render(
        self, picture: Tensor, picture_size: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Render an aligned sequence."""
        scene = sample_planar_scene(
            1, frames=self.frames, size=self.size, picture_size=picture_size, kind="aligned",
            generator=generator, ranges=self.ranges,
        )  # fmt: skip
        rendered = render_planar_scene(picture, scene)
        return {
            "radiance": kept_light(rendered.radiance[0]),
            "label": to_bytes(rendered.label[0]),
        }
