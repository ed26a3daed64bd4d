"""The lens that all photos of a sequence share: its coefficient, and what it does to points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._types import BundleAdjustment, PairMatches
from diar_ops.geometry import bundle_adjust_homographies, distort_points, undistort_points
from diar_ops.geometry.transform import TransformedPoints

__all__ = ["Lens", "known_distortion", "lens_of_pairs", "straight_border"]

#: A coefficient of fewer standard deviations is none: of matched cells, which pixels correct later,
#: and of pixels, which have been seen to err by four where hardly anything is bent.
ROUGHLY, SURELY = 3.0, 5.0


class Lens(NamedTuple):
    """One coefficient for all photos, each of which it bends around its own centre.

    Attributes:
        distortion: k of :func:`undistort_points`; 0: no photo is bent.
        sizes: (height, width) of the photos.
    """

    distortion: float
    sizes: list[tuple[int, int]]

    def straighten(self, points: Tensor, frame: int) -> TransformedPoints:
        """Return points (N, 2) of a photo as without its lens."""
        k = points.new_tensor(self.distortion)
        return undistort_points(points, k, size=self.sizes[frame])

    def bend(self, points: Tensor, frame: int) -> TransformedPoints:
        """Return undistorted points (N, 2) where the photo shows them, if it does."""
        return distort_points(points, points.new_tensor(self.distortion), size=self.sizes[frame])


def known_distortion(adjusted: BundleAdjustment, least: float = SURELY) -> float:
    """Return the coefficient of an adjustment, 0 if it is below ``least`` standard deviations."""
    k, sigma = float(adjusted.distortion), float(adjusted.distortion_sigma)
    return k if abs(k) > least * sigma else 0.0


def lens_of_pairs(
    pairs: PairMatches, chained: Mapping[int, Tensor], sizes: list[tuple[int, int]], reference: int
) -> tuple[Lens, dict[int, Tensor]]:
    """Estimate the lens from the matched cells, all of a verified pair: a bend looks like outliers.

    Args:
        pairs: The matched pairs, in full-resolution pixels.
        chained: ``homography_reference_frame`` by frame, right to some tens of pixels.
        sizes: (height, width) of the frames.
        reference: The reference frame.

    Returns:
        The lens, and the homographies that go with it.
    """
    verified = pairs.estimate.success
    none = Lens(0.0, sizes)
    if not bool(verified.any()):
        return none, dict(chained)
    eye = torch.eye(3, dtype=torch.float64)
    matches = pairs.matches
    adjusted = bundle_adjust_homographies(
        pairs.frames[verified],
        matches.points0[verified].double(),
        matches.points1[verified].double(),
        torch.stack([chained.get(t, eye) for t in range(len(sizes))]),
        torch.tensor(sizes),
        matches.valid[verified],
        reference=reference,
        distortion="shared",
    )
    k = known_distortion(adjusted, ROUGHLY)
    if k == 0:
        return none, dict(chained)
    return Lens(k, sizes), {
        t: adjusted.homography[t] if bool(adjusted.success[t]) else H for t, H in chained.items()
    }


def straight_border(size: tuple[int, int], distortion: float) -> Tensor:
    """Return (N, 2) undistorted positions of points around the pixel area of a photo."""
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
