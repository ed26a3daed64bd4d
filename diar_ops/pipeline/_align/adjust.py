"""Adjust the homographies of all frames jointly to their tie points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from diar_ops.geometry import bundle_adjust_homographies
from diar_ops.pipeline._align.graph import is_plausible
from diar_ops.pipeline._align.tie_points import TiePoints
from diar_ops.pipeline._lens import Lens, significant_distortion

#: Most tie points of a pair: more add time, not accuracy.
MOST_POINTS = 2000


class AdjustedFrames(NamedTuple):
    """Homographies of all frames after a joint adjustment.

    Attributes:
        homography: (T, 3, 3) ``homography_reference_frame``, in undistorted pixels.
        lens: That the frames share.
        distortion_sigma: Standard deviation of its coefficient; 0 where none was estimated.
    """

    homography: Tensor
    lens: Lens
    distortion_sigma: float


def adjust_frames(
    ties: Sequence[TiePoints],
    homography: Tensor,
    sizes: list[tuple[int, int]],
    reference: int,
    distortion: str = "none",
) -> AdjustedFrames:
    """Adjust all frames to all tie points; a frame that cannot be trusted stays as it was.

    A lens that cannot be told from none is none: the views fix the homographies better without it.

    Args:
        ties: Tie points of pairs of frames.
        homography: (T, 3, 3) ``homography_reference_frame``, right to some pixels.
        sizes: (height, width) of the frames.
        reference: The reference frame.
        distortion: See :func:`bundle_adjust_homographies`.
    """
    points0, points1 = (
        pad_sequence([_thin(p) for p in points], batch_first=True, padding_value=float("nan"))
        for points in ([tie.points0 for tie in ties], [tie.points1 for tie in ties])
    )
    adjusted = bundle_adjust_homographies(
        torch.tensor([[tie.frame0, tie.frame1] for tie in ties]),
        points0,
        points1,
        homography,
        torch.tensor(sizes),
        reference=reference,
        distortion=distortion,
    )
    k, sigma = significant_distortion(adjusted), float(adjusted.distortion_sigma)
    if distortion == "shared" and k == 0:
        without = adjust_frames(ties, homography, sizes, reference)
        return without._replace(distortion_sigma=sigma)
    trusted = torch.tensor(
        [bool(adjusted.success[t]) and is_plausible(adjusted.homography[t], size) for t, size in enumerate(sizes)]
    )
    homography = torch.where(trusted[:, None, None], adjusted.homography, homography)
    return AdjustedFrames(homography, Lens(k, sizes), sigma)


def _thin(points: Tensor) -> Tensor:
    """Return at most :data:`MOST_POINTS` of (N, 2), evenly over the picture."""
    if len(points) <= MOST_POINTS:
        return points
    return points[torch.linspace(0, len(points) - 1, MOST_POINTS, dtype=torch.float32).long()]
