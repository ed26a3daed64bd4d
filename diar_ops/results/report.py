"""One self-contained HTML page that says how a picture came about and how far to trust it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from diar_ops._checks import check_option, check_shapes
from diar_ops._errors import ShapeError
from diar_ops._types import Alignment, Reconstruction
from diar_ops.results import _pictures as pictures
from diar_ops.results import _words as words
from diar_ops.results._flicker import flicker
from diar_ops.results.page import render_page

__all__ = ["render_report"]

_MAIN, _MAP, _THUMB = 1600, 900, 480  # longest edges of the page's pictures, in pixels
_SCORES = ("psnr", "psnr_gain", "ssim", "corner_error")


class _Card(NamedTuple):
    """One frame as the page shows it."""

    name: str
    status: str
    photo: str
    width: int
    height: int
    reason: str
    facts: list[tuple[str, str]]
    difference: str
    colour: str
    share: float
    residual: dict[str, float] | None


class _Residuals(NamedTuple):
    """Quantiles of each frame's residuals, and the end of the axis that shows them."""

    per_frame: list[dict[str, float] | None]
    median: float | None
    axis: float


def render_report(
    frames: Sequence[Tensor],
    names: Sequence[str],
    alignment: Alignment,
    reconstruction: Reconstruction,
    *,
    title: str = "",
    timings: Mapping[str, float] | None = None,
    scores: Mapping[str, Any] | None = None,
    settings: Mapping[str, object] | None = None,
    warnings: Sequence[str] = (),
    created: datetime | None = None,
) -> str:
    """Render the report of one reconstruction as one HTML page without external resources.

    Everything is reduced to screen size before it is computed with, so that fifty photos of
    twelve megapixels cost little more than their own memory.

    Args:
        frames: T photos as loaded, each (3, H, W), uint8, uint16 or floating point in [0, 1].
        names: T file names.
        alignment: How the frames lie over the reference.
        reconstruction: The clean picture and its weights.
        title: Headline; "A clean picture from T photos" if empty.
        timings: Seconds of each step, in order.
        scores: Comparison with a known original: any of ``psnr``, ``psnr_gain`` (after one global
            colour gain; both in dB), ``ssim``, ``corner_error`` (T values in pixels, NaN where a
            frame was left out).
        settings: What was asked for, in order.
        warnings: One sentence each, such as files that were skipped and why.
        created: Date of the report; now if None.

    Returns:
        The page, to be written as UTF-8.

    Raises:
        ShapeError: The lengths or shapes contradict each other.
        OptionError: ``scores`` has an unknown entry.
        DiarError: jinja2 is not installed.
    """
    op = "render_report"
    count = len(frames)
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
        weights=(reconstruction.weights, "T 1 H W"),
        gain=(reconstruction.gain, "T 3"),
    )
    if not count == len(names) == sizes["T"]:
        raise ShapeError(
            f"{op}: frames, names and alignment must have one length, "
            f"got {count}, {len(names)} and {sizes['T']}"
        )
    for frame in frames:
        check_shapes(op, frames=(frame, "3 h w"))
    scores = dict(scores or {})
    for key in scores:
        check_option(op, key in _SCORES, f"scores named {', '.join(_SCORES)}", key)
    corner_error = scores.get("corner_error")
    if corner_error is not None and len(corner_error) != count:
        raise ShapeError(f"{op}: corner_error must have {count} values, got {len(corner_error)}")
    clean = pictures.shrink(reconstruction.image, _MAIN)
    before = pictures.shrink(frames[alignment.reference], _MAIN, exact=clean.shape[:2])
    small = pictures.shrink(reconstruction.image, _MAP)
    residuals = _residuals(alignment)
    cards = _cards(frames, names, alignment, reconstruction, residuals, corner_error)
    aligned = int(alignment.success.sum())
    coverage = reconstruction.coverage
    covered = float((coverage > 0).double().mean())
    timings = dict(timings or {})
    total = sum(timings.values())
    return render_page(
        op,
        "report.html.j2",
        title=title or f"A clean picture from {count} photo{'s' * (count != 1)}",
        created=(created or datetime.now().astimezone()).strftime("%d %B %Y, %H:%M"),
        verdict=words.verdict(aligned, count, covered, int(coverage.min())),
        good=aligned == count and covered > 0.999 and not warnings,
        warnings=list(warnings),
        stats=_stats(alignment, reconstruction, covered, residuals, total, scores),
        scored=bool(scores),
        before=pictures.data_uri(before),
        after=pictures.data_uri(clean),
        size=clean.shape[:2],
        reference=names[alignment.reference],
        aligned=aligned,
        flicker=flicker(frames, names, alignment, reconstruction),
        cards=cards,
        left_out=count - aligned,
        sources=pictures.data_uri(
            pictures.source_map(reconstruction.weights, small, [card.colour for card in cards])
        ),
        coverage=pictures.data_uri(
            pictures.coverage_map(coverage, small.shape[:2], count), lossless=True
        ),
        count=count,
        largest_share=max([card.share for card in cards] + [1e-9]),
        axis=residuals.axis,
        drawings=_drawings(frames, names, alignment),
        timings=[(k, words.seconds(v), v / max(total, 1e-9)) for k, v in timings.items()],
        total=words.seconds(total),
        settings=[(key, words.plain(value)) for key, value in (settings or {}).items()],
        versions=words.versions(),
    )


def _stats(
    alignment: Alignment,
    reconstruction: Reconstruction,
    covered: float,
    residuals: _Residuals,
    total: float,
    scores: Mapping[str, Any],
) -> list[tuple[str, str]]:
    height, width = reconstruction.image.shape[-2:]
    stats = [
        ("photos aligned", f"{int(alignment.success.sum())} of {len(alignment.success)}"),
        ("of the picture covered", words.percent(covered)),
        ("photos per pixel, mean", f"{float(reconstruction.coverage.double().mean()):.1f}"),
        ("pixels", f"{width} \N{MULTIPLICATION SIGN} {height}"),
    ]
    if residuals.median is not None:
        stats.append(("scatter of points, median", words.pixels(residuals.median)))
    if alignment.distortion:
        share = f"{100 * alignment.distortion:+.2f}\N{NO-BREAK SPACE}%"
        stats.append(("bend of the lens at the corners", share))
    if total > 0:
        stats.append(("computing time", words.seconds(total)))
    if "psnr" in scores:
        stats.append(("PSNR against the original", f"{float(scores['psnr']):.1f} dB"))
    if "psnr_gain" in scores:
        stats.append(("PSNR after one colour gain", f"{float(scores['psnr_gain']):.1f} dB"))
    if "ssim" in scores:
        stats.append(("SSIM against the original", f"{float(scores['ssim']):.3f}"))
    if scores.get("corner_error") is not None:
        errors = np.asarray(scores["corner_error"], np.float64)
        if np.isfinite(errors).any():
            mean = float(errors[np.isfinite(errors)].mean())
            stats.append(("corner error, mean", words.pixels(mean)))
    return stats


def _cards(
    frames: Sequence[Tensor],
    names: Sequence[str],
    alignment: Alignment,
    reconstruction: Reconstruction,
    residuals: _Residuals,
    corner_error: Sequence[float] | None,
) -> list[_Card]:
    colours = pictures.frame_colours(len(frames))
    clean = pictures.shrink(reconstruction.image, _THUMB)
    pixels = max(1, int((reconstruction.coverage > 0).sum()))
    cards = []
    for index, (frame, name) in enumerate(zip(frames, names, strict=True)):
        photo = pictures.shrink(frame, _THUMB)
        facts: list[tuple[str, str]] = []
        reason = difference = ""
        is_reference = index == alignment.reference
        if bool(alignment.success[index]):
            status = "reference" if is_reference else "aligned"
            gain = reconstruction.gain[index].detach().cpu().double().numpy()
            picture, differing = pictures.difference_map(
                photo,
                clean,
                alignment.homography_reference_frame[index].detach().cpu().double().numpy(),
                gain,
                (int(frame.shape[-2]), int(frame.shape[-1])),
                alignment.size,
                alignment.distortion,
            )
            difference = pictures.data_uri(picture)
            facts = [
                ("agreeing points", f"{int(alignment.inliers[index]):,}".replace(",", "\u202f")),
                ("shows of the picture", words.percent(float(alignment.overlap[index]))),
                ("differs clearly in", words.percent(differing)),
                ("brightness factor", f"{float(gain.mean()):.2f}"),
            ]
            if corner_error is not None and np.isfinite(corner_error[index]):
                facts.append(("corner error", words.pixels(float(corner_error[index]))))
        else:
            status = "left out"
            reason = words.reason(int(alignment.reason[index]))
        cards.append(
            _Card(
                name=name,
                status=status,
                photo=pictures.data_uri(photo, quality=84),
                width=photo.shape[1],
                height=photo.shape[0],
                reason=reason,
                facts=facts,
                difference=difference,
                colour=colours[index],
                share=float(reconstruction.weights[index].detach().sum(dtype=torch.float64))
                / pixels,
                residual=residuals.per_frame[index],
            )
        )
    return cards


def _residuals(alignment: Alignment) -> _Residuals:
    """Return the spread of each frame's points as the page shows it."""
    names = ("p5", "p25", "p50", "p75", "p95")
    per_frame: list[dict[str, float] | None] = [
        dict(zip(names, row, strict=True)) if np.isfinite(row).all() else None
        for row in alignment.spread.cpu().double().tolist()
    ]
    known = [found for found in per_frame if found is not None]
    largest = max((found["p95"] for found in known), default=1.0)
    axis = next((a for a in (0.5, 1, 2, 3, 5, 10, 20, 50, 100) if a >= largest), largest)
    median = float(np.median([found["p50"] for found in known])) if known else None
    return _Residuals(per_frame, median, float(axis))


def _drawings(
    frames: Sequence[Tensor], names: Sequence[str], alignment: Alignment
) -> list[tuple[str, pictures.MatchDrawing]]:
    """Draw the verified pairs with the most and the fewest agreeing points."""
    pairs = alignment.pairs
    inliers = (pairs.estimate.inliers & pairs.matches.valid).sum(dim=1).tolist()
    verified = [p for p, done in enumerate(pairs.estimate.success.tolist()) if done and inliers[p]]
    verified.sort(key=lambda p: -inliers[p])
    chosen = [("Best pair", verified[0])] if verified else []
    if len(verified) > 1:
        chosen.append(("Weakest verified pair", verified[-1]))
    drawings = []
    for label, pair in chosen:
        i, j = pairs.frames[pair].tolist()
        matches = pictures.residuals_of_pair(pairs, pair)
        drawing = pictures.draw_matches((frames[i], frames[j]), (names[i], names[j]), matches)
        drawings.append((label, drawing))
    return drawings
