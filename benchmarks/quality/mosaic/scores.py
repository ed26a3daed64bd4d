"""Scores of a picture put together from photos of its parts, against the picture."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.quality.mosaic.parts import Parts
from diar_ops import Alignment, align_sequence, psnr, ssim, transform_points, warp_homography
from diar_ops._pixels import image_size
from diar_ops.metrics import colour_gain

#: Pixels near the border of the result, and beside a border of a photo, that are not compared.
_RIM, _BESIDE = 12, 8
_TOE = 0.055


class MosaicScores(NamedTuple):
    """How close a result is to the picture.

    Attributes:
        covered: Share of the picture that it shows.
        psnr: In dB, after one colour gain.
        ssim: The same.
        shift_median: By how many pixels of the picture its textured places lie elsewhere, in the median.
        shift_most: The same, 99 of 100.
        seam: Gradient of the error of the logs at borders of photos, relative to that elsewhere.
    """

    covered: float
    psnr: float
    ssim: float
    shift_median: float
    shift_most: float
    seam: float


def score_mosaic(image: Tensor, shown: Tensor, picture: Tensor, parts: Parts) -> MosaicScores | None:
    """Score a result (3, h, w), shown (1, h, w) bool, after one homography lays it over the picture (3, H, W).

    ``None`` if none could be found.
    """
    alignment = align_sequence([picture, image], reference=0, valid=[None, shown])
    if not bool(alignment.success.all()):
        return None
    H = alignment.homography_reference_frame[1:].float()
    laid = warp_homography(image[None], H, shown[None], size=image_size(picture), mode="bicubic")
    gain = colour_gain(laid.image, picture[None], laid.valid)
    result = torch.where(laid.valid, (laid.image * gain).clamp(0, 1), 0)
    inside = _erode(F.pad(laid.valid[..., 1:-1, 1:-1], (1, 1, 1, 1)), 2 * _RIM + 1)
    shift = _shifts(result, picture[None], inside)
    return MosaicScores(
        covered=float(laid.valid.float().mean()),
        psnr=float(psnr(result, picture[None], laid.valid)),
        ssim=float(ssim(result, picture[None], laid.valid)),
        shift_median=float(shift.median()),
        shift_most=float(shift.quantile(0.99)),
        seam=seam_score(result, picture[None], inside, parts),
    )


def seam_score(result: Tensor, picture: Tensor, inside: Tensor, parts: Parts) -> float:
    """Return how much steeper the error of the logs is at borders of photos than elsewhere, as a ratio of RMS.

    Args:
        result: (1, 3, H, W) in the picture's coordinates.
        picture: (1, 3, H, W).
        inside: (1, 1, H, W) bool, what is compared.
        parts: The photos.
    """
    error = ((result + _TOE).log() - (picture + _TOE).log()).mean(1, keepdim=True)
    kernel = torch.exp(-torch.arange(-6.0, 7.0).square() / 8)
    kernel = kernel / kernel.sum()
    smooth = F.conv2d(
        F.conv2d(error, kernel.view(1, 1, -1, 1), padding=(6, 0)), kernel.view(1, 1, 1, -1), padding=(0, 6)
    )
    dy, dx = torch.gradient(smooth, dim=(2, 3))
    steep = dx.square() + dy.square()
    border = torch.zeros_like(inside)
    for frame, H in zip(parts.frames, parts.homography_frame_picture, strict=True):
        one = torch.ones(1, 1, *image_size(frame))
        seen = warp_homography(one, torch.linalg.inv(H)[None].float(), size=image_size(picture)).valid
        border |= seen & ~_erode(seen, 3)
    beside = F.max_pool2d(border.float(), 2 * _BESIDE + 1, 1, _BESIDE) > 0
    on, off = (float(steep[mask & inside].mean().sqrt()) for mask in (border, ~beside))
    return on / off


def frame_errors(alignment: Alignment, parts: Parts) -> list[float]:
    """Return the largest error of each photo's points, in pixels of the reference; NaN of those left out."""
    H, errors = parts.homography_frame_picture, []
    for t, frame in enumerate(parts.frames):
        y, x = (torch.linspace(0, n - 1, 9, dtype=torch.float64) for n in image_size(frame))
        points = torch.cartesian_prod(x, y)
        true = transform_points(points, H[alignment.reference] @ torch.linalg.inv(H[t])).points
        found = transform_points(points, alignment.homography_reference_frame[t]).points
        errors.append(float((found - true).norm(dim=-1).max()) if bool(alignment.success[t]) else float("nan"))
    return errors


def _shifts(result: Tensor, picture: Tensor, inside: Tensor) -> Tensor:
    """Return (n,), lengths of the flow between both at textured places."""
    import cv2

    one, other = ((255 * x[0].mean(0)).round().byte().numpy() for x in (picture, result))
    opencv: Any = cv2  # whose stubs miss this class
    flow = opencv.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(one, other, None)
    texture = torch.from_numpy(cv2.cornerMinEigenVal(one, 9, ksize=3))
    textured = (texture > texture.quantile(0.5)) & inside[0, 0]
    lengths: Tensor = torch.from_numpy(flow).norm(dim=-1)[textured]
    return lengths


def _erode(mask: Tensor, side: int) -> Tensor:
    return F.max_pool2d((~mask).float(), side, 1, side // 2) == 0
