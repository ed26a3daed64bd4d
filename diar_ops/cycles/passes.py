"""From the passes of a rendered frame to its picture and masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops._errors import ImageError
from diar_ops.colour import linear_to_srgb
from diar_ops.cycles.light import plane_points, unshadowed_radiance
from diar_ops.scene import PlanarScene
from diar_ops.scene.flags import HIGHLIGHT, SATURATED, SHADOW, FrameFlag

__all__ = ["frame_masks", "frame_picture"]

#: Colour below which a pixel scatters too little light to tell how much falls on it.
_DARK = 0.004

Passes = dict[str, Any]


def frame_picture(passes: Passes) -> Tensor:
    """Return the picture of a frame as an 8-bit (3, H, W) sRGB image.

    Args:
        passes: What :func:`read_exr` returned.
    """
    coded = linear_to_srgb(_colour(passes, "Combined")).clamp(0, 1)
    return (coded * 255).round().to(torch.uint8)


def frame_masks(
    passes: Passes, picture: Tensor, scene: PlanarScene, frame: int
) -> tuple[Tensor, Tensor]:
    """Tell what is in front of the picture, and what light does to it.

    Args:
        passes: What :func:`read_exr` returned.
        picture: (3, H, W) uint8, what :func:`frame_picture` made of it.
        scene: Of one sequence.
        frame: Which of its frames.

    Returns:
        Occluded, (1, H, W) bool: at least one sample of the pixel hits something in front of the
        picture's plane. Flags, (1, H, W) uint8, sums of :class:`FrameFlag`: shadow and highlight
        where the picture itself is seen, saturated wherever the frame should show it.
    """
    # Only picture and wall have texture coordinates.
    occluded = torch.from_numpy(_channel(passes, "UV", "A"))[None] < 1 - 1e-3
    points = plane_points(scene, frame)
    height, width = (float(side) / 2 for side in scene.picture_size[0])
    inside = (points[..., 0].abs() <= width) & (points[..., 1].abs() <= height)
    seen = (inside & ~occluded[0])[None]

    colour = _colour(passes, "DiffCol")
    light = colour * (_colour(passes, "DiffDir") + _colour(passes, "DiffInd"))
    weight = colour * seen
    # A dark pixel knows little of its light: ask its neighbours.
    scattered, reflectance = (_blur(x.sum(0, keepdim=True), 5) for x in (light * seen, weight))
    wide = [_blur(x.sum(0, keepdim=True), 11) for x in (light * seen, weight)]
    dark = reflectance < _DARK
    actual = torch.where(dark, wide[0], scattered) / torch.where(dark, wide[1], reflectance).clamp(
        min=1e-6
    )
    known = torch.where(dark, wide[1], reflectance) >= _DARK / 10
    free = unshadowed_radiance(scene, frame, points).permute(2, 0, 1)
    free = (free * colour).sum(0, keepdim=True) / colour.sum(0, keepdim=True).clamp_min(1e-6)
    shadow = seen & _mostly(known & (actual < SHADOW * free), seen)

    gloss = _colour(passes, "GlossCol") * (
        _colour(passes, "GlossDir") + _colour(passes, "GlossInd")
    )
    gloss = _blur((gloss * seen).mean(0, keepdim=True), 3) / _blur(seen.float(), 3).clamp_min(0.1)
    highlight = seen & _mostly(gloss > HIGHLIGHT, seen)
    saturated = (picture >= SATURATED).any(0, keepdim=True) & inside
    flags = torch.zeros(1, *scene.size, dtype=torch.uint8)
    for flag, mask in (
        (FrameFlag.SHADOW, shadow),
        (FrameFlag.HIGHLIGHT, highlight),
        (FrameFlag.SATURATED, saturated),
    ):
        flags += mask.to(torch.uint8) * int(flag)
    return occluded, flags


def _blur(image: Tensor, side: int) -> Tensor:
    return F.avg_pool2d(image[None], side, stride=1, padding=side // 2)[0]


def _mostly(mask: Tensor, seen: Tensor) -> Tensor:
    """Return where a mask holds for most of the seen pixels around: noise makes speckles."""
    return _blur((mask & seen).float(), 5) > 0.5 * _blur(seen.float(), 5)


def _colour(passes: Passes, name: str) -> Tensor:
    return torch.from_numpy(np.stack([_channel(passes, name, channel) for channel in "RGB"]))


def _channel(passes: Passes, name: str, channel: str) -> Any:
    for key, value in passes.items():
        if key.split(".")[-2:] == [name, channel]:
            return value
    raise ImageError(f"Blender wrote no pass {name}.{channel}; it wrote {', '.join(passes)}")
