"""One self-contained HTML page that says how a picture came about and how far to trust it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diar_ops._checks import check_option, check_shapes
from diar_ops._errors import ShapeError
from diar_ops._pixels import image_size, resize_matrix
from diar_ops._threads import map_threads
from diar_ops._types import Alignment, Canvas, Reconstruction
from diar_ops.geometry import transform_points
from diar_ops.pipeline import Lens
from diar_ops.results import formatting as words
from diar_ops.results._cards import Spreads, frame_cards, spreads_of
from diar_ops.results._flicker import EMPTY, flicker
from diar_ops.results._maps import coverage_map, source_map
from diar_ops.results._matches import draw_pairs
from diar_ops.results._run import FinishedRun
from diar_ops.results.images import data_uri, reduce_image
from diar_ops.results.page import render_page
from diar_ops.sharpness import WINDOW, relative_sharpness

_MAIN, _MAP = 1600, 900  # longest edges of the page's pictures, in pixels
_COMPARED = 1024  # longest edge of the middle of the picture in which sharpness is compared, at full size
_SCORES = ("psnr", "psnr_gain", "ssim", "corner_error")


def render_report(
    frames: Sequence[Tensor],
    names: Sequence[str],
    alignment: Alignment,
    reconstruction: Reconstruction,
    *,
    canvas: Canvas | None = None,
    corners: Tensor | None = None,
    told: Sequence[str] = (),
    title: str = "",
    timings: Mapping[str, float] | None = None,
    scores: Mapping[str, Any] | None = None,
    settings: Mapping[str, object] | None = None,
    warnings: Sequence[str] = (),
    created: datetime | None = None,
    icc_profile: bytes | None = None,
) -> str:
    """Render the report of one reconstruction as one HTML page without external resources.

    Everything is reduced to screen size before it is computed with, so that fifty photos of
    twelve megapixels cost little more than their own memory.

    Args:
        frames: T photos as loaded, each (3, H, W), uint8, uint16 or floating point in [0, 1].
        names: T file names.
        alignment: How the frames lie over the reference.
        reconstruction: The clean picture and its weights.
        canvas: What the picture was made on, if not the reference.
        corners: (4, 2) of the picture in pixels of the reference, where it was cropped to them.
        told: Sentences on what the picture shows: the canvas of all photos, how it was cropped, or why not.
        title: Headline; "A clean picture from T photos" if empty.
        timings: Seconds of each step, in order.
        scores: Comparison with a known original: any of ``psnr``, ``psnr_gain`` (after one global
            colour gain; both in dB), ``ssim``, ``corner_error`` (T values in pixels, NaN where a
            frame was left out).
        settings: What was asked for, in order.
        warnings: One sentence each, such as files that were skipped and why.
        created: Date of the report; now if None.
        icc_profile: Colour profile of the frames; sRGB if None.

    Returns:
        The page, to be written as UTF-8.

    Raises:
        ShapeError: The lengths or shapes contradict each other.
        OptionError: ``scores`` has an unknown entry.
        DiarError: jinja2 is not installed.
    """
    op = "render_report"
    run = FinishedRun(frames, names, alignment, reconstruction, canvas, icc_profile)
    scores, timings = dict(scores or {}), dict(timings or {})
    _check_arguments(op, run, scores)
    count, aligned = len(frames), int(alignment.success.sum())
    covered = float((reconstruction.coverage > 0).double().mean())
    total = sum(timings.values())
    spreads = spreads_of(alignment)
    cards = frame_cards(run, spreads, scores.get("corner_error"))
    return render_page(
        op,
        "report.html.j2",
        title=title or f"A clean picture from {count} photo{'s' * (count != 1)}",
        created=(created or datetime.now().astimezone()).strftime("%d %B %Y, %H:%M"),
        verdict=words.verdict(aligned, count, covered, int(reconstruction.coverage.min())),
        good=aligned == count and covered > 0.999 and not warnings,
        warnings=list(warnings),
        stats=_stats(run, covered, spreads, total) + _stats_of_scores(scores),
        scored=bool(scores),
        reference=names[alignment.reference],
        aligned=aligned,
        left_out=count - aligned,
        told=told,
        outline=None if corners is None else _outline(run, corners),
        count=count,
        flicker=flicker(run),
        cards=cards,
        largest_share=max([card.share or 0.0 for card in cards] + [1e-9]),
        axis=spreads.axis,
        drawings=draw_pairs(run),
        timings=[(k, words.seconds(v), v / max(total, 1e-9)) for k, v in timings.items()],
        total=words.seconds(total),
        settings=[(key, words.plain(value)) for key, value in (settings or {}).items()],
        versions=words.versions(),
        **_pictures(run, [card.colour for card in cards]),
    )


def _check_arguments(op: str, run: FinishedRun, scores: Mapping[str, Any]) -> None:
    alignment, reconstruction, count = run.alignment, run.reconstruction, len(run.frames)
    sizes = check_shapes(
        op,
        homography_reference_frame=(alignment.homography_reference_frame, "T 3 3"),
        success=(alignment.success, "T"),
        reason=(alignment.reason, "T"),
        inliers=(alignment.inliers, "T"),
        overlap=(alignment.overlap, "T"),
        spread=(alignment.spread, "T 5"),
        image=(reconstruction.image, "3 H W"),
        coverage=(reconstruction.coverage, "1 H W"),
        weights=(reconstruction.weights, "? T 1 H W"),
        gain=(reconstruction.gain, "T 3"),
    )
    if not count == len(run.names) == sizes["T"]:
        raise ShapeError(
            f"{op}: frames, names and alignment must have one length, got {count}, {len(run.names)} and {sizes['T']}"
        )
    for frame in run.frames:
        check_shapes(op, frames=(frame, "3 h w"))
    for key in scores:
        check_option(op, key in _SCORES, f"scores named {', '.join(_SCORES)}", key)
    corner_error = scores.get("corner_error")
    if corner_error is not None and len(corner_error) != count:
        raise ShapeError(f"{op}: corner_error must have {count} values, got {len(corner_error)}")


def _stats(run: FinishedRun, covered: float, spreads: Spreads, total: float) -> list[tuple[str, str]]:
    alignment, coverage = run.alignment, run.reconstruction.coverage
    height, width = image_size(coverage)
    stats = [
        ("photos aligned", f"{int(alignment.success.sum())} of {len(alignment.success)}"),
        ("of the picture covered", words.percent(covered)),
        ("photos per pixel, mean", f"{float(coverage.double().mean()):.1f}"),
        ("pixels", f"{width} \N{MULTIPLICATION SIGN} {height}"),
    ]
    sharpness = _sharpness(run)
    if math.isfinite(sharpness):
        stats.append(("as sharp as the best photo", f"{sharpness:.2f}"))
    if spreads.median is not None:
        stats.append(("scatter of points, median", words.pixels(spreads.median)))
    if alignment.distortion:
        share = f"{100 * alignment.distortion:+.2f}\N{NO-BREAK SPACE}%"
        stats.append(("bend of the lens at the corners", share))
    if total > 0:
        stats.append(("computing time", words.seconds(total)))
    return stats


def _sharpness(run: FinishedRun) -> float:
    """Return how sharp the middle of the picture is against the best photo; NaN where nobody knows."""
    height, width = (min(n, _COMPARED) for n in run.size)
    if min(height, width) < WINDOW:
        return math.nan
    top, left = ((n - m) // 2 for n, m in zip(run.size, (height, width), strict=True))
    clean = run.reconstruction.image[None, :, top : top + height, left : left + width].detach().float().cpu()

    def compare(t: int) -> float:
        photo, valid = run.warp_window(t, (top, left, height, width))
        return float(relative_sharpness(clean, photo[None, None], valid[None, None]))

    ratios = map_threads(compare, run.alignment.success.nonzero().flatten().tolist())
    return min((ratio for ratio in ratios if math.isfinite(ratio)), default=math.nan)


def _stats_of_scores(scores: Mapping[str, Any]) -> list[tuple[str, str]]:
    stats = []
    if "psnr" in scores:
        stats.append(("PSNR against the original", f"{float(scores['psnr']):.1f} dB"))
    if "psnr_gain" in scores:
        stats.append(("PSNR after one colour gain", f"{float(scores['psnr_gain']):.1f} dB"))
    if "ssim" in scores:
        stats.append(("SSIM against the original", f"{float(scores['ssim']):.3f}"))
    errors = np.asarray(scores.get("corner_error", ()), np.float64)
    if np.isfinite(errors).any():
        mean = float(errors[np.isfinite(errors)].mean())
        stats.append(("corner error, mean", words.pixels(mean)))
    return stats


def _outline(run: FinishedRun, corners: Tensor) -> dict[str, Any]:
    """Return the reference, the corners of the picture in it or beyond it, and the box (x, y, w, h) of both."""
    reference = run.alignment.reference
    photo = reduce_image(run.frames[reference], _MAP)
    size, full = image_size(photo), run.alignment.size
    sides = corners[:, None] + torch.linspace(0, 1, 17)[:, None] * (corners.roll(-1, 0) - corners)[:, None]
    seen, _ = Lens(run.alignment.distortion, [full]).distort(sides.flatten(0, 1).double(), 0)
    points, _ = transform_points(seen, resize_matrix(full, size))
    low, high = points.amin(0).clamp_max(0).floor(), points.amax(0).maximum(points.new_tensor(size[::-1])).ceil()
    return {
        "photo": data_uri(photo),
        "size": size,
        "box": [int(side) for side in (*low, *(high - low))],
        "points": " ".join(f"{x:.1f},{y:.1f}" for x, y in (points + 0.5).tolist()),
    }


def _pictures(run: FinishedRun, colours: list[str]) -> dict[str, Any]:
    """Return the photo before, the clean picture after, and the maps of what each frame gave, if that is known."""
    image, coverage, weights = run.reconstruction.image, run.reconstruction.coverage, run.reconstruction.weights
    after = reduce_image(image, _MAIN)
    before = reduce_image(run.frames[run.alignment.reference], image_size(after))
    if run.canvas is not None:
        reference = reduce_image(run.frames[run.alignment.reference], _MAIN)
        before, valid = run.warp_reduced(run.alignment.reference, reference, image_size(after))
        before = torch.where(valid, before, EMPTY)
    small = reduce_image(image, _MAP)
    counts = coverage_map(coverage, image_size(small), len(run.frames))
    return {
        "before": data_uri(before, icc_profile=run.icc_profile),
        "after": data_uri(after, icc_profile=run.icc_profile),
        "size": image_size(after),
        "sources": None if weights is None else data_uri(source_map(weights, small, colours)),
        "coverage": data_uri(counts, lossless=True),
    }
