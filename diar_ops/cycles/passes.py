"""Convert the passes of a rendered frame to its picture and masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops._errors import ImageError
from diar_ops._pixels import to_bytes
from diar_ops.colour import linear_to_srgb
from diar_ops.cycles.light import plane_points, unshadowed_radiance
from diar_ops.scene import PlanarScene
from diar_ops.scene.flags import HIGHLIGHT, SATURATED, SHADOW, FrameFlag

#: Colour below which a pixel reflects too little light to tell its irradiance.
_DARK = 0.004

Passes = dict[str, Any]


def frame_picture(passes: Passes) -> Tensor:
    """Return the picture of a frame as an 8-bit (3, H, W) sRGB image.

    Args:
        passes: What :func:`read_exr` returned.
    """
    return to_bytes(linear_to_srgb(_colour(passes, "Combined")))


def frame_masks(passes: Passes, picture: Tensor, scene: PlanarScene, frame: int) -> tuple[Tensor, Tensor]:
    """Return what is in front of the picture, and what light does to it.

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
    visible = (inside & ~occluded[0])[None]

    colour = _colour(passes, "DiffCol")
    diffuse = colour * (_colour(passes, "DiffDir") + _colour(passes, "DiffInd"))
    # A dark pixel knows little of its light: ask its neighbours.
    sums = [(x * visible).sum(0, keepdim=True) for x in (diffuse, colour)]
    (near, near_colour), (far, far_colour) = ([_blur(x, side) for x in sums] for side in (5, 11))
    is_dark = near_colour < _DARK
    reflectance = torch.where(is_dark, far_colour, near_colour)
    actual = torch.where(is_dark, far, near) / reflectance.clamp(min=1e-6)
    unshadowed = unshadowed_radiance(scene, frame, points).permute(2, 0, 1)
    unshadowed = (unshadowed * colour).sum(0, keepdim=True)
    unshadowed = unshadowed / colour.sum(0, keepdim=True).clamp_min(1e-6)
    is_known = reflectance >= _DARK / 10
    shadow = visible & _mostly(is_known & (actual < SHADOW * unshadowed), visible)

    glossy = _colour(passes, "GlossDir") + _colour(passes, "GlossInd")
    glossy = _colour(passes, "GlossCol") * glossy
    if scene.pane is not None:
        glossy = glossy + _colour(passes, "Emit")  # what the pane mirrors
    weight = _blur(visible.float(), 3).clamp_min(0.1)
    specular = _blur((glossy * visible).mean(0, keepdim=True), 3) / weight
    highlight = visible & _mostly(specular > HIGHLIGHT, visible)
    saturated = (picture >= SATURATED).any(0, keepdim=True) & inside
    flags = torch.zeros(1, *scene.size, dtype=torch.uint8)
    for flag, mask in ((FrameFlag.SHADOW, shadow), (FrameFlag.HIGHLIGHT, highlight), (FrameFlag.SATURATED, saturated)):
        flags += mask.to(torch.uint8) * int(flag)
    return occluded, flags


def _blur(image: Tensor, side: int) -> Tensor:
    return F.avg_pool2d(image[None], side, stride=1, padding=side // 2)[0]


def _mostly(mask: Tensor, visible: Tensor) -> Tensor:
    """Return where a mask holds for most of the visible pixels around: noise makes speckles."""
    return _blur((mask & visible).float(), 5) > 0.5 * _blur(visible.float(), 5)


def _colour(passes: Passes, name: str) -> Tensor:
    return torch.from_numpy(np.stack([_channel(passes, name, channel) for channel in "RGB"]))


def _channel(passes: Passes, name: str, channel: str) -> Any:
    for key, value in passes.items():
        if key.split(".")[-2:] == [name, channel]:
            return value
    raise ImageError(f"Blender wrote no pass {name}.{channel}; it wrote {', '.join(passes)}")
