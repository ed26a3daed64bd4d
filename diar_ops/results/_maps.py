"""Coloured maps of the report: what differs, which frame a pixel comes from, how many show it."""

from __future__ import annotations

import colorsys

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops._pixels import image_size
from diar_ops.results.images import reduce_image

_PALETTE = (
    "#3b7ea1",
    "#e0a030",
    "#5a9a6f",
    "#c8553d",
    "#8c6bb1",
    "#6fb7c9",
    "#b98b5e",
    "#a8bf4f",
    "#d77fa1",
    "#54606e",
)
#: Differences of display values below the first count as agreement, above the second as full.
_DIFFERENCE = (0.06, 0.40)
_TINT = "#e24a26"


def difference_map(warped: Tensor, valid: Tensor, clean: Tensor) -> tuple[Tensor, float]:
    """Tint where a frame differs from the clean picture.

    Args:
        warped: (3, H, W), the frame as seen from the reference.
        valid: (1, H, W) bool, where it shows something.
        clean: (3, H, W), the clean picture.

    Returns:
        (4, H, W) grey frame with the differences in orange, transparent where the frame shows
        nothing; and the share of the frame's area that differs clearly.
    """
    difference = (warped - clean).abs().mean(dim=0, keepdim=True)
    low, high = _DIFFERENCE
    amount = ((difference - low) / (high - low)).clamp(0, 1) ** 0.7
    grey = 0.2 + 0.7 * warped.mean(dim=0, keepdim=True)
    tinted = grey * (1 - amount) + _rgb(_TINT)[:, None, None] * amount
    differing = (difference > 0.5 * (low + high))[valid]
    share = float(differing.double().mean()) if len(differing) else 0.0
    return torch.cat((tinted, valid.float())), share


def bent_part(displacement: Tensor, valid: Tensor) -> Tensor:
    """Return what the affine map that explains displacements best leaves of them.

    A grid may also mend what the homography is off: that bends nothing.

    Args:
        displacement: (2, h, w) pixels.
        valid: (1, h, w) bool, where the frame shows something; the rest is extrapolated, has no say, and is 0.
    """
    y, x = (torch.linspace(-1, 1, n, dtype=displacement.dtype) for n in image_size(displacement))
    y, x = torch.meshgrid(y, x, indexing="ij")
    affine = torch.stack([torch.ones_like(x), x, y]) * valid
    flat = affine.flatten(1)
    normal = flat @ flat.mT + 1e-9 * torch.eye(3, dtype=x.dtype)
    factors = torch.linalg.solve(normal, flat @ displacement.flatten(1).mT)
    left: Tensor = displacement * valid - torch.einsum("fhw,fc->chw", affine, factors)
    return left


def bend_map(displacement: Tensor, picture: Tensor) -> Tensor:
    """Colour how far pixels are displaced, and where to: hue by direction, strength by length.

    Args:
        displacement: (2, h, w) pixels; the longest has full strength.
        picture: (3, h, w), which shines through for orientation.
    """
    length = displacement.norm(dim=0)
    angle = torch.atan2(displacement[1], displacement[0])
    phases = angle + torch.tensor([0.0, -2.0944, 2.0944])[:, None, None]  # of red, green and blue
    hue = 0.5 + 0.5 * phases.cos()
    strength = 0.85 * length / length.max().clamp_min(1e-6)
    grey = 0.2 + 0.7 * picture.mean(dim=0, keepdim=True)
    coloured: Tensor = grey * (1 - strength) + hue * strength
    return coloured


def frame_colours(count: int) -> list[str]:
    """Return one hex colour per frame, apart from each other as far as ``count`` allows."""
    colours = list(_PALETTE[:count])
    for index in range(len(colours), count):
        # The golden ratio spreads any number of hues; lightness alternates to tell neighbours.
        lightness, saturation = (0.42, 0.60, 0.72)[index % 3], (0.55, 0.45)[index % 2]
        rgb = colorsys.hls_to_rgb(index * 0.618034 % 1.0, lightness, saturation)
        colours.append("#" + "".join(f"{round(255 * c):02x}" for c in rgb))
    return colours


def source_map(weights: Tensor, clean: Tensor, colours: list[str]) -> Tensor:
    """Colour each pixel of the clean picture by the frame with the largest share in it.

    Args:
        weights: (T, 1, H, W).
        clean: (3, h, w) reduced clean picture, which shines through for orientation.
        colours: One hex colour per frame.

    Returns:
        (4, h, w), transparent where no frame has a share.
    """
    size = image_size(clean)
    largest = torch.zeros(size)
    source = torch.full(size, -1)
    for index, frame in enumerate(weights):
        share = reduce_image(frame.float(), size)[0]
        source = torch.where(share > largest, index, source)
        largest = torch.maximum(largest, share)
    light = 0.45 + 0.75 * clean.mean(dim=0)
    coloured = torch.stack([_rgb(colour) for colour in colours], dim=1)[:, source] * light
    return torch.cat((coloured.clamp(0, 1), (source >= 0)[None].float()))


def coverage_map(coverage: Tensor, size: tuple[int, int], count: int) -> Tensor:
    """Return (3, h, w): dark where few of ``count`` frames show the pixel, bright where many."""
    import cv2

    counts = F.interpolate(coverage[None].cpu().float(), size, mode="nearest")[0, 0]
    levels = (counts / max(count, 1) * 255).round().clamp(0, 255).to(torch.uint8)
    mapped = torch.from_numpy(cv2.applyColorMap(levels.numpy(), cv2.COLORMAP_VIRIDIS))
    return mapped.flip(-1).movedim(-1, 0).float() / 255


def _rgb(colour: str) -> Tensor:
    """Return a hex colour as (3,) float32 in [0, 1]."""
    return torch.tensor([int(colour[i : i + 2], 16) for i in (1, 3, 5)]).float() / 255
