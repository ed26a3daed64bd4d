"""Rotated copies of frames, for descriptors that only match what is upright."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diar_ops._types import Matches
from diar_ops.geometry import transform_points, warp_homography
from diar_ops.pipeline._frames import WorkingCopy

#: Angles in radians. An upright descriptor finds less than a tenth of its matches at 20 degrees;
#: copies rotated every 30 degrees leave at most 15.
ROTATIONS = tuple(math.radians(degrees) for degrees in range(30, 360, 30))
#: How many well-connected frames a rotated frame is matched with.
HUBS = 2


def rotate_copy(copy: WorkingCopy, angle: float) -> tuple[WorkingCopy, Tensor]:
    """Rotate a copy about its centre by ``angle`` radians; return ``homography_rotated_copy``."""
    height, width = copy.size
    c, s = math.cos(angle), math.sin(angle)
    size = (math.ceil(abs(s) * width + abs(c) * height), math.ceil(abs(c) * width + abs(s) * height))
    x, y = (width - 1) / 2, (height - 1) / 2
    u, v = (size[1] - 1) / 2, (size[0] - 1) / 2
    H = torch.tensor([[c, -s, u - c * x + s * y], [s, c, v - s * x - c * y], [0.0, 0.0, 1.0]], dtype=torch.float32)
    warped = warp_homography(copy.image, H[None].to(copy.image), copy.valid, size=size)
    rotated = WorkingCopy(warped.image, warped.valid, H.double() @ copy.homography_copy_frame)
    return rotated, H


def unrotate_matches(matches: Matches, homography_rotated_copy: Tensor) -> Matches:
    """Map ``points0`` of matches from a rotated copy back to the copy."""
    homography_copy_rotated = torch.linalg.inv(homography_rotated_copy)[None].to(matches.points0)
    upright = transform_points(matches.points0, homography_copy_rotated).points
    return matches._replace(points0=upright.to(matches.points0))
