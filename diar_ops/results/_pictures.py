"""The pictures of the report: shrunk first, then warped, coloured and put into data URIs."""

from __future__ import annotations

import base64
import colorsys
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from diar_ops._types import PairMatches
from diar_ops.geometry import warp_homography

__all__ = [
    "MatchDrawing",
    "coverage_map",
    "data_uri",
    "difference_map",
    "draw_matches",
    "frame_colours",
    "lay",
    "residuals_of_pair",
    "resize_matrix",
    "shrink",
    "source_map",
    "transform",
]

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
_TINT = np.array([226, 74, 38], np.float32) / 255


class MatchDrawing(NamedTuple):
    """Two frames side by side with the lines of their agreeing points, for an SVG."""

    names: tuple[str, str]
    width: int
    height: int
    #: (data URI, x, width) of the two frames.
    pictures: tuple[tuple[str, int, int], tuple[str, int, int]]
    #: (x0, y0, x1, y1, colour) of each line.
    lines: list[tuple[float, float, float, float, str]]
    inliers: int
    median: float
    top: float


def shrink(image: Tensor, side: int, *, exact: tuple[int, int] | None = None) -> Any:
    """Return (h, w, C) float32 in [0, 1] with at most ``side`` pixels on the longer edge.

    Each plane is reduced in its own dtype: a stack of 12-megapixel frames never becomes floats.

    Args:
        image: (C, H, W) uint8, uint16, or floating point in [0, 1].
        side: Longest edge of the result.
        exact: Optional (h, w) of the result instead.
    """
    import cv2

    height, width = image.shape[-2:]
    scale = min(1.0, side / max(height, width))
    h, w = exact or (max(1, round(height * scale)), max(1, round(width * scale)))
    top = {torch.uint8: 255.0, torch.uint16: 65535.0}.get(image.dtype, 1.0)
    planes = []
    for plane in image.detach():
        stored = plane.cpu() if top > 1 else plane.to("cpu", torch.float32)
        mode = cv2.INTER_AREA if h < height else cv2.INTER_LINEAR
        small: Any = cv2.resize(stored.contiguous().numpy(), (w, h), interpolation=mode)
        planes.append(small.astype(np.float32) / top)
    return np.clip(np.nan_to_num(np.stack(planes, axis=-1)), 0.0, 1.0)


def data_uri(image: Any, *, lossless: bool = False, quality: int = 88) -> str:
    """Encode (h, w, 3 | 4) float in [0, 1] as JPEG, with alpha as WebP, ``lossless`` as PNG."""
    import cv2

    pixels = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
    swapped = np.ascontiguousarray(pixels[..., [2, 1, 0, 3][: pixels.shape[2]]])
    if lossless:
        kind, done = "png", cv2.imencode(".png", swapped, [cv2.IMWRITE_PNG_COMPRESSION, 6])
    elif pixels.shape[2] == 4:
        kind, done = "webp", cv2.imencode(".webp", swapped, [cv2.IMWRITE_WEBP_QUALITY, quality])
    else:
        kind, done = "jpeg", cv2.imencode(".jpg", swapped, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return f"data:image/{kind};base64,{base64.b64encode(done[1].tobytes()).decode('ascii')}"


def transform(homography: Any, points: Any) -> Any:
    """Map (N, 2) points by a (3, 3) homography; points on the horizon become NaN."""
    lifted = points @ homography[:, :2].T + homography[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        return lifted[:, :2] / np.where(lifted[:, 2:] == 0, np.nan, lifted[:, 2:])


def resize_matrix(from_size: tuple[int, int], to_size: tuple[int, int]) -> Any:
    """Return the map of pixel-centre coordinates when a picture of one (h, w) takes another."""
    sy, sx = to_size[0] / from_size[0], to_size[1] / from_size[1]
    return np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1]])


def lay(
    image: Any,
    matrix: Any,
    gain: Any,
    size: tuple[int, int],
    *,
    distortion: float = 0.0,
    photo_size: tuple[int, int] | None = None,
    photo_offset: tuple[int, int] = (0, 0),
) -> tuple[Any, Any]:
    """Warp (h, w, 3) by a homography onto another grid of ``size`` (h, w).

    Args:
        image: Display values in [0, 1].
        matrix: (3, 3), grid ~ matrix @ image, in pixels, undistorted ones of the image.
        gain: (3,) factors in linear light.
        size: (h, w) of the result.
        distortion: Coefficient of the lens, see :func:`undistort_points`.
        photo_size: (height, width) of the photo that the image is cut from, if it is.
        photo_offset: (x, y) of the image's first pixel in that photo.

    Returns:
        (h, w, 3) float32, and (h, w) bool: where the image shows something.
    """
    lit = np.clip(_to_linear(image) * gain.reshape(1, 1, 3), 0, 1)
    content = torch.from_numpy(np.ascontiguousarray(_to_display(lit).transpose(2, 0, 1)))[None]
    laid, shown = warp_homography(
        content,
        torch.from_numpy(matrix)[None],
        size=size,
        distortion=content.new_tensor([distortion]) if distortion else None,
        photo_size=photo_size,
        photo_offset=photo_offset,
    )
    return laid[0].movedim(0, -1).numpy(), shown[0, 0].numpy()


def difference_map(
    small: Any,
    clean: Any,
    homography_reference_frame: Any,
    gain: Any,
    frame_size: tuple[int, int],
    reference_size: tuple[int, int],
    distortion: float = 0.0,
) -> tuple[Any, float]:
    """Lay a shrunk frame over the shrunk clean picture and tint where they differ.

    Returns:
        (h, w, 4) grey frame with the differences in orange, transparent where the frame shows
        nothing; and the share of the frame's area that differs clearly.
    """
    size = clean.shape[:2]
    to_small_frame = resize_matrix(frame_size, small.shape[:2])
    to_small_reference = resize_matrix(reference_size, size)
    matrix = to_small_reference @ homography_reference_frame @ np.linalg.inv(to_small_frame)
    laid, shown = lay(small, matrix, gain, size, distortion=distortion)
    difference = np.abs(laid - clean).mean(axis=-1)
    low, high = _DIFFERENCE
    amount = (np.clip((difference - low) / (high - low), 0, 1) ** 0.7)[..., None]
    grey = (0.2 + 0.7 * laid.mean(axis=-1))[..., None]
    tinted = grey * (1 - amount) + _TINT * amount
    share = float((difference > 0.5 * (low + high))[shown].mean()) if shown.any() else 0.0
    return np.dstack((tinted, shown.astype(np.float32))), share


def frame_colours(count: int) -> list[str]:
    """Return one colour per frame, apart from each other as far as ``count`` allows."""
    colours = list(_PALETTE[:count])
    for index in range(len(colours), count):
        # The golden ratio spreads any number of hues; lightness alternates to tell neighbours.
        light, strong = (0.42, 0.60, 0.72)[index % 3], (0.55, 0.45)[index % 2]
        rgb = colorsys.hls_to_rgb(index * 0.618034 % 1.0, light, strong)
        colours.append("#" + "".join(f"{round(255 * c):02x}" for c in rgb))
    return colours


def source_map(weights: Tensor, clean: Any, colours: list[str]) -> Any:
    """Colour each pixel of the clean picture by the frame with the largest share in it.

    Args:
        weights: (T, 1, H, W).
        clean: (h, w, 3) shrunk clean picture, which shines through for orientation.
        colours: One hex colour per frame.
    """
    size = clean.shape[:2]
    best = np.zeros(size, np.float32)
    winner = np.full(size, -1)
    for index, frame in enumerate(weights):
        share = shrink(frame.float(), 0, exact=size)[..., 0]
        winner = np.where(share > best, index, winner)
        best = np.maximum(best, share)
    table = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colours])
    light = 0.45 + 0.75 * clean.mean(axis=-1, keepdims=True)
    coloured = np.clip(table[winner] * light, 0, 1)
    return np.dstack((coloured, (winner >= 0).astype(np.float32)))


def coverage_map(coverage: Tensor, size: tuple[int, int], count: int) -> Any:
    """Return (h, w, 3): dark where few of ``count`` frames show the pixel, bright where many."""
    import cv2

    counts: Any = cv2.resize(
        coverage[0].cpu().to(torch.float32).numpy(), size[::-1], interpolation=cv2.INTER_NEAREST
    )
    levels = np.round(counts / max(count, 1) * 255).clip(0, 255).astype(np.uint8)
    return cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS)[..., ::-1] / np.float32(255)


def residuals_of_pair(pairs: PairMatches, index: int) -> tuple[Any, Any, Any]:
    """Return the inliers of one pair: (n, 2) in frame i, (n, 2) in frame j, (n,) residual in j."""
    used = (pairs.estimate.inliers[index] & pairs.matches.valid[index]).cpu()
    points0 = pairs.matches.points0[index].detach().cpu()[used].double().numpy()
    points1 = pairs.matches.points1[index].detach().cpu()[used].double().numpy()
    homography = pairs.estimate.homography[index].detach().cpu().double().numpy()
    residual = np.linalg.norm(transform(homography, points0) - points1, axis=1)
    return points0, points1, np.nan_to_num(residual, nan=np.inf)


def draw_matches(
    frames: tuple[Tensor, Tensor],
    names: tuple[str, str],
    matches: tuple[Any, Any, Any],
    *,
    most: int = 150,
) -> MatchDrawing:
    """Place two frames side by side at one height and draw up to ``most`` inlier lines."""
    points0, points1, residual = matches
    height, gap = 400, 16
    sizes = [(int(f.shape[-2]), int(f.shape[-1])) for f in frames]
    widths = [max(1, round(height * w / h)) for h, w in sizes]
    uris = [
        data_uri(shrink(frame, 0, exact=(height, width)), quality=80)
        for frame, width in zip(frames, widths, strict=True)
    ]
    starts = (0, widths[0] + gap)
    chosen = np.unique(np.linspace(0, len(residual) - 1, min(most, len(residual))).astype(int))
    chosen = chosen[np.argsort(residual[chosen])]  # the worst on top
    finite = residual[np.isfinite(residual)]
    top = max(1.0, float(np.quantile(finite, 0.95))) if len(finite) else 1.0
    ends = []
    for points, size, width, start in zip((points0, points1), sizes, widths, starts, strict=True):
        scale = np.array([width / size[1], height / size[0]])
        ends.append((points[chosen] + 0.5) * scale + np.array([start, 0]))
    lines = [
        (*np.round((*a, *b), 1).tolist(), _ramp(r / top))
        for a, b, r in zip(*ends, residual[chosen], strict=True)
    ]
    return MatchDrawing(
        names=names,
        width=starts[1] + widths[1],
        height=height,
        pictures=((uris[0], starts[0], widths[0]), (uris[1], starts[1], widths[1])),
        lines=lines,
        inliers=len(residual),
        median=float(np.median(finite)) if len(finite) else float("inf"),
        top=top,
    )


def _ramp(share: float) -> str:
    """Colour from teal (0) over yellow to red (1), the one that the page's legend shows."""
    stops = np.array([[31, 170, 156], [240, 196, 66], [220, 60, 70]], np.float64)
    position = 2 * float(np.clip(np.nan_to_num(share, posinf=1.0), 0, 1))
    low = min(int(position), 1)
    mixed = stops[low] + (stops[low + 1] - stops[low]) * (position - low)
    return "#" + "".join(f"{round(c):02x}" for c in mixed)


def _to_linear(image: Any) -> Any:
    return np.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)


def _to_display(image: Any) -> Any:
    curved = 1.055 * np.maximum(image, 1e-9) ** (1 / 2.4) - 0.055
    return np.where(image <= 0.0031308, image * 12.92, curved).astype(np.float32)
