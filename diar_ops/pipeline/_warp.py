"""Warp the frames of an aligned sequence onto windows of the reference."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._pixels import image_size, resize_matrix, shrink_alike, shrink_valid, to_unit
from diar_ops._types import Alignment
from diar_ops.colour import linear_to_srgb, srgb_to_linear
from diar_ops.geometry import distort_points, transform_points, warp_homography
from diar_ops.pipeline._lens import undistorted_border


class AlignedSequence(NamedTuple):
    """Frames, their alignment, and which of them are used.

    Attributes:
        frames: T tensors (3, H, W); floating point, uint8 or uint16.
        valid: T masks (1, H, W) bool, or ``None``.
        alignment: How the frames lie over the reference.
        used: Indices of the frames that take part.
        device: Where they are warped.
    """

    frames: list[Tensor]
    valid: list[Tensor | None]
    alignment: Alignment
    used: list[int]
    device: torch.device

    def warp(self, window: tuple[int, int, int, int], gain: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return a window of the used frames (1, T, 3, h, w) and valid (1, T, 1, h, w)."""
        parts = [
            warp_frame(
                self.frames[t],
                self.alignment.homography_reference_frame[t],
                window,
                valid=self.valid[t],
                gain=None if gain is None else gain[t],
                distortion=self.alignment.distortion,
                device=self.device,
            )
            for t in self.used
        ]
        return torch.stack([p[0] for p in parts], 1), torch.stack([p[1] for p in parts], 1)

    def only(self, t: int) -> AlignedSequence:
        """Return the sequence with frame ``t`` as the only one that is used."""
        return self._replace(used=[t])

    def resized(self, size: tuple[int, int], longest: int) -> AlignedSequence:
        """Resize the reference to ``size``, and frames to a longest side of ``longest`` at most."""
        homography_small_reference = resize_matrix(self.alignment.size, size)
        frames, valid = list(self.frames), list(self.valid)
        homography = self.alignment.homography_reference_frame.clone()
        for t in self.used:
            frame, mask = self.frames[t], self.valid[t]
            frames[t] = shrink_alike(frame, longest)  # fifty copies must fit into memory
            small = image_size(frames[t])
            if mask is not None and small != image_size(frame):
                valid[t] = shrink_valid(mask[None], small)[0]
            homography_frame_small = torch.linalg.inv(resize_matrix(image_size(frame), small))
            homography[t] = homography_small_reference @ homography[t].to(torch.float64) @ homography_frame_small
        alignment = self.alignment._replace(homography_reference_frame=homography, size=size)
        return self._replace(frames=frames, valid=valid, alignment=alignment)


def warp_frame(
    frame: Tensor,
    homography_reference_frame: Tensor,
    window: tuple[int, int, int, int],
    *,
    valid: Tensor | None = None,
    gain: Tensor | None = None,
    distortion: float = 0.0,
    device: torch.device | str | None = None,
) -> tuple[Tensor, Tensor]:
    """Warp a frame onto a window of the reference, touching only the source pixels it needs.

    Args:
        frame: (3, H, W) floating point, uint8 or uint16.
        homography_reference_frame: (3, 3), reference ~ H @ frame, in pixels, undistorted ones.
        window: (top, left, height, width) in the reference.
        valid: Optional (1, H, W) bool.
        gain: Optional (3,) factors in linear light.
        distortion: Coefficient of the frame's lens, see :func:`undistort_points`.
        device: Where to compute; ``None``: where the frame is.

    Returns:
        Image (1, 3, height, width) float32, not clipped where a gain exceeds 1, and valid
        (1, 1, height, width) bool.
    """
    top, left, height, width = window
    device = frame.device if device is None else torch.device(device)
    H = homography_reference_frame.to("cpu", torch.float64)
    H = _translation(-left, -top) @ H
    photo = image_size(frame)
    x0, y0, x1, y1 = _source_box(H, (height, width), photo, distortion)
    if x1 <= x0 or y1 <= y0:
        empty = torch.zeros(1, 3, height, width, dtype=torch.float32, device=device)
        return empty, torch.zeros_like(empty[:, :1], dtype=torch.bool)
    crop = to_unit(frame[:, y0:y1, x0:x1].to(device)).unsqueeze(0)
    if gain is not None and bool((gain != 1).any()):
        crop = _apply_gain(crop, gain)
    mask = None if valid is None else valid[None, :, y0:y1, x0:x1].to(device)
    warped = warp_homography(
        crop,
        (H @ _translation(x0, y0))[None].to(crop),
        size=(height, width),
        valid=mask,
        distortion=None if distortion == 0 else crop.new_tensor([distortion]),
        photo_size=photo,
        photo_offset=(x0, y0),
    )
    return warped.image, warped.valid


def _apply_gain(image: Tensor, gain: Tensor) -> Tensor:
    """Multiply (1, 3, H, W) sRGB pixels by (3,) factors in linear light.

    Above the linear toe of the transfer function, a factor in linear light is affine in the
    coded value: ((x + 0.055) / 1.055)**2.4 * g is coded as (x + 0.055) * g**(1 / 2.4) - 0.055.
    """
    factor = gain.to(image).view(1, 3, 1, 1)
    coded = (image + 0.055) * factor ** (1 / 2.4) - 0.055
    toe = (image <= 0.04045) | (coded <= 0.04045)
    coded[toe] = linear_to_srgb(srgb_to_linear(image[toe]) * factor.expand_as(image)[toe])
    return coded


def _translation(x: float, y: float) -> Tensor:
    return torch.tensor([[1, 0, x], [0, 1, y], [0, 0, 1]], dtype=torch.float64)


def _source_box(
    homography_window_frame: Tensor, window: tuple[int, int], frame: tuple[int, int], distortion: float
) -> tuple[int, int, int, int]:
    """Return the box (x0, y0, x1, y1) of source pixels that a window can sample."""
    height, width = frame
    inverse = torch.linalg.inv(homography_window_frame)
    # A lens bends the edges of the window: its corners alone do not bound it.
    points, in_front = transform_points(undistorted_border(window, 0.0), inverse)
    if distortion != 0:
        points, exist = distort_points(points, points.new_tensor(distortion), size=frame)
        in_front = in_front & exist
    if not bool(in_front.all()):
        return 0, 0, width, height
    low, high = points.amin(dim=0), points.amax(dim=0)
    # Room for the support of the interpolation and of the anti-aliasing pyramid.
    margin = 16 + 0.05 * float((high - low).max())
    return (
        max(0, math.floor(float(low[0]) - margin)),
        max(0, math.floor(float(low[1]) - margin)),
        min(width, math.ceil(float(high[0]) + margin) + 1),
        min(height, math.ceil(float(high[1]) + margin) + 1),
    )
