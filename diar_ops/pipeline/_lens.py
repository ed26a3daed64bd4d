"""The radial distortion that all photos of a sequence share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._types import BundleAdjustment, PairMatches
from diar_ops.geometry import bundle_adjust_homographies, distort_points, undistort_points
from diar_ops.geometry.transform import TransformedPoints

#: A coefficient of fewer standard deviations counts as none: from matched cells, which pixels
#: correct later, and from pixels, which were seen to err by four where there is no distortion.
LEAST_FROM_CELLS, LEAST_FROM_PIXELS = 3.0, 5.0


class Lens(NamedTuple):
    """One radial coefficient for all photos, each distorted around its own centre.

    Attributes:
        distortion: k of :func:`undistort_points`; 0 for none.
        sizes: (height, width) of the photos.
    """

    distortion: float
    sizes: list[tuple[int, int]]

    def undistort(self, points: Tensor, frame: int) -> TransformedPoints:
        """Return the undistorted positions of points (N, 2) of a photo."""
        k = points.new_tensor(self.distortion)
        return undistort_points(points, k, size=self.sizes[frame])

    def distort(self, points: Tensor, frame: int) -> TransformedPoints:
        """Return where a photo shows undistorted points (N, 2), if it does."""
        return distort_points(points, points.new_tensor(self.distortion), size=self.sizes[frame])


def significant_distortion(adjusted: BundleAdjustment, least: float = LEAST_FROM_PIXELS) -> float:
    """Return the coefficient of an adjustment, 0 below ``least`` standard deviations."""
    k, sigma = float(adjusted.distortion), float(adjusted.distortion_sigma)
    return k if abs(k) > least * sigma else 0.0


def estimate_lens(
    pairs: PairMatches, initial: Mapping[int, Tensor], sizes: list[tuple[int, int]], reference: int
) -> tuple[Lens, dict[int, Tensor]]:
    """Estimate the lens from all matched cells of the verified pairs, outliers of RANSAC included.

    To a homography, what a lens displaces looks like an outlier.

    Args:
        pairs: The matched pairs, in full-resolution pixels.
        initial: ``homography_reference_frame`` by frame, right to some tens of pixels.
        sizes: (height, width) of the frames.
        reference: The reference frame.

    Returns:
        The lens, and the homographies that go with it.
    """
    verified = pairs.estimate.success
    none = Lens(0.0, sizes)
    if not bool(verified.any()):
        return none, dict(initial)
    eye = torch.eye(3, dtype=torch.float64)
    matches = pairs.matches
    adjusted = bundle_adjust_homographies(
        pairs.frames[verified],
        matches.points0[verified].double(),
        matches.points1[verified].double(),
        torch.stack([initial.get(t, eye) for t in range(len(sizes))]),
        torch.tensor(sizes),
        matches.valid[verified],
        reference=reference,
        distortion="shared",
    )
    k = significant_distortion(adjusted, LEAST_FROM_CELLS)
    if k == 0:
        return none, dict(initial)
    return Lens(k, sizes), {t: adjusted.homography[t] if bool(adjusted.success[t]) else H for t, H in initial.items()}


def undistorted_border(size: tuple[int, int], distortion: float) -> Tensor:
    """Return the undistorted positions (N, 2) of points around the pixel area of a photo."""
    height, width = size
    x, y = (torch.linspace(-0.5, n - 0.5, 17, dtype=torch.float64) for n in (width, height))
    top, left = torch.full_like(x, -0.5), torch.full_like(y, -0.5)
    border = torch.cat(
        [
            torch.stack((x, top), 1),
            torch.stack((x, top + height), 1),
            torch.stack((left, y), 1),
            torch.stack((left + width, y), 1),
        ]
    )
    return undistort_points(border, border.new_tensor(distortion), size=size).points
