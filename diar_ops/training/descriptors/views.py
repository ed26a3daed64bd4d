"""Views of pictures to learn descriptors from."""

from __future__ import annotations

import torch
from torch import Tensor

from diar_ops.scene import render_planar_scene, sample_planar_scene
from diar_ops.training.kept import KeptSequences, kept_light

__all__ = ["RenderedViews"]


class RenderedViews(KeptSequences):
    """Misaligned sequences from the torch renderer; see :class:`KeptSequences`.

    Items: ``radiance`` (T, 3, H, W) float16, linear light; ``seen`` (T, 1, H, W) bool, pixels that
    show the picture with nothing in front of it; ``homography_frame_label`` (T, 3, 3) float64.
    """

    purpose, prefix = "views", "views-"

    def render(
        self, picture: Tensor, picture_size: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Render a misaligned sequence."""
        scene = sample_planar_scene(
            1, frames=self.frames, size=self.size, picture_size=picture_size, kind="misaligned",
            generator=generator, ranges=self.ranges,
        )  # fmt: skip
        rendered = render_planar_scene(picture, scene)
        return {
            "radiance": kept_light(rendered.radiance[0]),
            "seen": (rendered.visible & ~rendered.occluded)[0],
            "homography_frame_label": rendered.homography_frame_label[0],
        }
