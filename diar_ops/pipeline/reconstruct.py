"""From aligned frames to one clean picture, strip by strip."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from diar_ops._checks import check_option, check_shapes
from diar_ops._errors import DiarError
from diar_ops._types import Alignment, Reconstruction
from diar_ops.aggregate import (
    consensus_logits,
    exposure_gain,
    mean_aggregate,
    median_aggregate,
    softmax_aggregate,
)
from diar_ops.data.scene.transfer import linear_to_srgb, srgb_to_linear
from diar_ops.geometry import transform_points, warp_homography
from diar_ops.pipeline._frames import (
    Frames,
    check_frames,
    image_size,
    rescale_matrix,
    shrink,
    to_unit,
)

__all__ = ["AGGREGATORS", "Aggregator", "aligned_frames", "reconstruct_sequence", "warp_frame"]

#: Maps features (B, T, 3, H, W) and valid (B, T, 1, H, W) to the picture (B, 3, H, W) and the
#: weights (B, T, 1 or 3, H, W) that sum to it.
Aggregator: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def _softmax(features: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    return softmax_aggregate(
        features, consensus_logits(features, valid), valid, return_weights=True
    )


def _median(features: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    return median_aggregate(features, valid, return_weights=True)


def _mean(features: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    return mean_aggregate(features, valid, return_weights=True)


#: The aggregators that :func:`reconstruct_sequence` knows by name.
AGGREGATORS: dict[str, Aggregator] = {"softmax": _softmax, "median": _median, "mean": _mean}

# Longest side of the copies on which exposure is compared: thousands of pixels settle a median.
_EXPOSURE_SIZE = 256
# Pixels that one strip holds over all frames; about 120 bytes each at the peak.
_STRIP_PIXELS = 6_000_000


def reconstruct_sequence(
    frames: Frames,
    alignment: Alignment,
    *,
    aggregator: str | Aggregator = "softmax",
    valid: Sequence[Tensor | None] | None = None,
    compensate: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Reconstruction:
    """Reconstruct the clean picture from frames and their alignment.

    Each frame that was aligned is brought to the common exposure and white balance of the
    sequence, warped onto the reference, and aggregated. The compensation is one factor per frame
    and channel in linear light (:func:`exposure_gain` on small copies, sRGB transfer function):
    it changes how bright a frame is, never what it shows. Shadows and glare are left to the
    aggregator. Works in strips of rows, so that memory stays bounded for photos of any size.

    Args:
        frames: (T, 3, H, W), or T tensors (3, H, W) of any sizes; floating point in [0, 1],
            uint8 or uint16. R, G, B.
        alignment: Result of :func:`align_sequence` on these frames.
        aggregator: ``"softmax"``: average of the frames that agree with the median over frames
            (:func:`consensus_logits`); ``"median"``; ``"mean"``; or a callable that maps features
            (1, T, 3, H, W) and valid (1, T, 1, H, W) to (picture, weights).
        valid: Optional T masks (1, H, W) bool of pixels that the photos really hold.
        compensate: Whether to compensate exposure and white balance.
        progress: Called with (rows done, rows in all).

    Returns:
        :class:`Reconstruction` on the CPU, float32.

    Raises:
        ShapeError, DtypeError: The frames are not pictures, or do not fit the alignment.
        OptionError: Unknown aggregator.
    """
    frames = check_frames("reconstruct_sequence", frames, valid)
    check_shapes(
        "reconstruct_sequence",
        homography=(alignment.homography_reference_frame, f"{len(frames)} 3 3"),
        success=(alignment.success, f"{len(frames)}"),
    )
    if isinstance(aggregator, str):
        check_option(
            "reconstruct_sequence",
            aggregator in AGGREGATORS,
            f"aggregator to be one of {', '.join(AGGREGATORS)} or a callable",
            aggregator,
        )
        aggregator = AGGREGATORS[aggregator]
    masks: list[Tensor | None] = [None] * len(frames) if valid is None else list(valid)
    used = [t for t in range(len(frames)) if bool(alignment.success[t])]
    if not used:
        raise DiarError("reconstruct_sequence: no frame is aligned, nothing to reconstruct from")

    gain = torch.ones(len(frames), 3)
    if compensate and len(used) > 1:
        gain[used] = _sequence_gain(frames, masks, alignment, used)

    height, width = alignment.size
    image = torch.zeros(3, height, width)
    coverage = torch.zeros(1, height, width, dtype=torch.int64)
    weights = torch.zeros(len(frames), 1, height, width)
    rows = max(1, min(height, math.ceil(_STRIP_PIXELS / (width * len(used)))))
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        window = (top, 0, bottom - top, width)
        strip, shown = [], []
        for t in used:
            warped, mask = warp_frame(
                frames[t],
                alignment.homography_reference_frame[t],
                window,
                valid=masks[t],
                gain=gain[t],
            )
            strip.append(warped)
            shown.append(mask)
        stack, covered = torch.stack(strip, dim=1), torch.stack(shown, dim=1)  # [1, T, ., h, w]
        del strip, shown
        picture, share = aggregator(stack, covered)
        image[:, top:bottom] = picture[0].clamp(0, 1)
        coverage[:, top:bottom] = covered[0].sum(dim=0)
        weights[used, :, top:bottom] = share[0].mean(dim=1, keepdim=True).to(weights)
        if progress is not None:
            progress(bottom, height)
    return Reconstruction(image, coverage, weights, gain)


def warp_frame(
    frame: Tensor,
    homography_reference_frame: Tensor,
    window: tuple[int, int, int, int],
    *,
    valid: Tensor | None = None,
    gain: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Warp a frame onto a window of the reference, touching only the source pixels it needs.

    Args:
        frame: (3, H, W) floating point, uint8 or uint16.
        homography_reference_frame: (3, 3), reference ~ H @ frame, in pixels.
        window: (top, left, height, width) in the reference.
        valid: Optional (1, H, W) bool.
        gain: Optional (3,) factors in linear light.

    Returns:
        Image (1, 3, height, width) float32, not clipped where a gain exceeds 1, and valid
        (1, 1, height, width) bool.
    """
    top, left, height, width = window
    H = homography_reference_frame.to(torch.float64)
    H = _translation(-left, -top) @ H
    x0, y0, x1, y1 = _source_box(H, (height, width), (frame.shape[-2], frame.shape[-1]))
    if x1 <= x0 or y1 <= y0:
        shape = (1, 1, height, width)
        return torch.zeros(1, 3, height, width), torch.zeros(shape, dtype=torch.bool)
    crop = to_unit(frame[:, y0:y1, x0:x1]).unsqueeze(0)
    if gain is not None and bool((gain != 1).any()):
        crop = _apply_gain(crop, gain)
    mask = None if valid is None else valid[None, :, y0:y1, x0:x1]
    warped = warp_homography(
        crop, (H @ _translation(x0, y0))[None].to(crop), size=(height, width), valid=mask
    )
    return warped.image, warped.valid


def aligned_frames(
    frames: Frames,
    alignment: Alignment,
    *,
    valid: Sequence[Tensor | None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield the aligned frames one by one, as seen from the reference, colours untouched.

    Args:
        frames: (T, 3, H, W), or T tensors (3, H, W).
        alignment: Result of :func:`align_sequence` on these frames.
        valid: Optional T masks (1, H, W) bool.
        progress: Called with (frames done, frames in all).

    Yields:
        Frame index, picture (3, H, W) float32 in [0, 1], valid (1, H, W) bool.
    """
    frames = check_frames("aligned_frames", frames, valid)
    used = alignment.success.nonzero().flatten().tolist()
    for done, t in enumerate(used):
        image, shown = warp_frame(
            frames[t],
            alignment.homography_reference_frame[t],
            (0, 0, *alignment.size),
            valid=None if valid is None else valid[t],
        )
        yield t, image[0].clamp(0, 1), shown[0]
        if progress is not None:
            progress(done + 1, len(used))


def _sequence_gain(
    frames: list[Tensor], masks: list[Tensor | None], alignment: Alignment, used: list[int]
) -> Tensor:
    """Return the (len(used), 3) gains, estimated on small copies."""
    full = alignment.size
    factor = min(1.0, _EXPOSURE_SIZE / max(full))
    size = (max(1, round(full[0] * factor)), max(1, round(full[1] * factor)))
    small_full = rescale_matrix(full, size)
    warped = []
    for t in used:
        # Twice the size leaves the anti-aliasing of the warp something to average.
        copy = shrink(frames[t], 2 * _EXPOSURE_SIZE)
        frame_copy = torch.linalg.inv(rescale_matrix(image_size(frames[t]), image_size(copy)))
        H = small_full @ alignment.homography_reference_frame[t].to(torch.float64) @ frame_copy
        mask = masks[t]
        if mask is not None:
            mask = (
                torch.nn.functional.interpolate(mask[None].float(), copy.shape[-2:], mode="area")
                > 0.99
            )
        warped.append(warp_homography(copy.float(), H[None].float(), size=size, valid=mask))
    stack = torch.stack([w.image for w in warped], dim=1)
    covered = torch.stack([w.valid for w in warped], dim=1)
    return exposure_gain(srgb_to_linear(stack), covered)[0]


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
    homography_window_frame: Tensor, window: tuple[int, int], frame: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Return (x0, y0, x1, y1) of the source pixels that a window can sample."""
    height, width = frame
    h, w = window
    inverse = torch.linalg.inv(homography_window_frame)
    corners = torch.tensor(
        [[-0.5, -0.5], [w - 0.5, -0.5], [w - 0.5, h - 0.5], [-0.5, h - 0.5]], dtype=torch.float64
    )
    points, in_front = transform_points(corners, inverse)
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
