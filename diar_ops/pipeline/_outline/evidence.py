"""Edges that all aligned photos share: those of the plane."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops._filters import filter_axis
from diar_ops._pixels import fit_size, resize_matrix
from diar_ops.aggregate import median_aggregate
from diar_ops.geometry import transform_points
from diar_ops.pipeline._lens import undistorted_border
from diar_ops.pipeline._warp import AlignedSequence

#: Photos of one view that are compared, at most: a median of so many is clean.
MOST_FRAMES = 16
#: What is seen beyond the reference counts up to this share of its longest side.
_BEYOND = 0.35
#: Added to values in [0, 1] before their logarithm: noise in the dark is no edge.
_DARK = 0.1
#: Gradient of the logarithm, per pixel, at which an edge is one for certain.
CLEAR_EDGE = 0.05
#: Pixels around what no photo shows whose gradients are not of the picture.
_RIM = 3


class EdgeEvidence(NamedTuple):
    """Edges of the plane on a small canvas around the reference.

    Attributes:
        gradient: (2, 3, h, w), along x and y per channel, of the logarithm: the median over photos,
            in which neither shadows nor what moves against the plane remain.
        seen: (h, w) bool, where at least one photo shows it.
        homography_canvas_reference: (3, 3) float64.
    """

    gradient: Tensor
    seen: Tensor
    homography_canvas_reference: Tensor


def edge_evidence(sequence: AlignedSequence, longest: int, most: int = MOST_FRAMES) -> EdgeEvidence:
    """Return the edges that the photos share.

    Args:
        sequence: The photos.
        longest: Longest side of the reference, in pixels, at most.
        most: Photos that are compared, at most.
    """
    full = sequence.alignment.size
    small = fit_size(full, longest)
    step = max(1, len(sequence.used) / most)
    chosen = [sequence.used[int(k * step)] for k in range(min(len(sequence.used), most))]
    sequence = sequence._replace(used=chosen).resized(small, 2 * longest)
    alignment = sequence.alignment
    low, high = _seen_box(sequence)
    shift = torch.eye(3, dtype=torch.float64)
    shift[:2, 2] = -low
    width, height = ((high - low).long() + 1).tolist()
    # Displacements span the reference alone; they are far below the width of an outline's edge.
    alignment = alignment._replace(
        homography_reference_frame=shift @ alignment.homography_reference_frame.double(),
        size=(height, width),
        grid=None,
    )
    frames, valid = sequence._replace(alignment=alignment).warp((0, 0, height, width))
    gradient = _gradient((frames[0].clamp(0, 1) + _DARK).log())
    # Bands at the edge of the canvas are as good as unseen, too.
    inner = F.pad(valid[0].float(), (_RIM,) * 4)
    inner = -F.max_pool2d(-inner, 2 * _RIM + 1, 1) > 0
    median = median_aggregate(gradient.flatten(1, 2)[None], inner[None])[0]
    return EdgeEvidence(median.view(2, 3, *median.shape[1:]), inner.any(0)[0], shift @ resize_matrix(full, small))


def _seen_box(sequence: AlignedSequence) -> tuple[Tensor, Tensor]:
    """Return the first and last pixel (x, y) of what is seen, around the reference."""
    alignment = sequence.alignment
    last = torch.tensor([alignment.size[1] - 1.0, alignment.size[0] - 1.0], dtype=torch.float64)
    reach = _BEYOND * max(alignment.size)
    low, high = torch.zeros_like(last), last.clone()
    for t in sequence.used:
        border = undistorted_border((sequence.frames[t].shape[-2], sequence.frames[t].shape[-1]), 0.0)
        places, ahead = transform_points(border, alignment.homography_reference_frame[t].double())
        if bool(ahead.any()):
            low, high = torch.minimum(low, places[ahead].amin(0)), torch.maximum(high, places[ahead].amax(0))
    return torch.maximum(low, -last.new_tensor(reach)).floor(), torch.minimum(high, last + reach).ceil()


def _gradient(images: Tensor) -> Tensor:
    """Return derivatives of Gaussians of one pixel (N, 2, C, h, w), along x and y."""
    bell = [math.exp(-0.5 * x * x) for x in range(-_RIM, _RIM + 1)]
    smooth = [value / sum(bell) for value in bell]
    energy = sum(x * x * value for x, value in enumerate(bell, start=-_RIM))
    slope = [x * value / energy for x, value in enumerate(bell, start=-_RIM)]
    padded = F.pad(images, (_RIM,) * 4, mode="replicate")
    along_x, along_y = (
        filter_axis(filter_axis(padded, down, -2), across, -1) for down, across in ((smooth, slope), (slope, smooth))
    )
    return torch.stack((along_x, along_y), 1)


def sample(image: Tensor, points: Tensor) -> Tensor:
    """Sample (C, h, w) at points (..., 2), bilinear, 0 outside: (..., C)."""
    size = torch.tensor([image.shape[-1], image.shape[-2]], dtype=points.dtype, device=points.device)
    grid = ((points + 0.5) / size * 2 - 1).to(image)
    if not points.numel():
        return image.new_zeros(*points.shape[:-1], len(image))
    found = F.grid_sample(image[None], grid.reshape(1, -1, 1, 2), align_corners=False)[0, :, :, 0]
    return found.T.reshape(*points.shape[:-1], -1)


def canvas_diagonal(seen: Tensor) -> float:
    """Return the length of the canvas's diagonal, in pixels."""
    return math.hypot(*seen.shape)
