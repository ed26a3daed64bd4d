"""Drawings of matched pairs: two frames side by side, lines between their agreeing points."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._pixels import image_size
from diar_ops._types import PairMatches
from diar_ops.geometry import transform_points
from diar_ops.results._run import FinishedRun
from diar_ops.results.images import data_uri, reduce_image

_HEIGHT, _GAP = 400, 16  # of the drawings, in pixels
_MAX_LINES = 150
#: Colours of residuals from 0 over half to all of the scale, as the page's legend shows them.
_RAMP = ((31, 170, 156), (240, 196, 66), (220, 60, 70))


class InlierMatches(NamedTuple):
    """The N inliers of one pair of frames, float64, in pixels."""

    points0: Tensor
    points1: Tensor
    #: (N,) distance between projected and matched point; infinite behind the horizon.
    residual: Tensor


class MatchDrawing(NamedTuple):
    """What an SVG of one pair shows."""

    label: str
    names: tuple[str, str]
    width: int
    height: int
    #: (data URI, x, width) of the two frames.
    pictures: list[tuple[str, int, int]]
    #: (x0, y0, x1, y1, colour) of each line.
    lines: list[tuple[float, float, float, float, str]]
    inliers: int
    #: Of the residuals, in pixels; and where the scale of colours ends.
    median: float
    top: float


def draw_pairs(run: FinishedRun) -> list[MatchDrawing]:
    """Draw the verified pairs with the most and the fewest agreeing points."""
    pairs = run.alignment.pairs
    inliers = (pairs.estimate.inliers & pairs.matches.valid).sum(dim=1).tolist()
    verified = [p for p, ok in enumerate(pairs.estimate.success.tolist()) if ok and inliers[p]]
    verified.sort(key=lambda p: -inliers[p])
    selected = [("Best pair", verified[0])] if verified else []
    if len(verified) > 1:
        selected.append(("Weakest verified pair", verified[-1]))
    return [_draw(run, label, pair) for label, pair in selected]


def inlier_matches(pairs: PairMatches, index: int) -> InlierMatches:
    """Return the inliers of the pair ``index`` and how well its homography fits them."""
    inliers = (pairs.estimate.inliers[index] & pairs.matches.valid[index]).cpu()
    points0 = pairs.matches.points0[index].detach().cpu()[inliers].double()
    points1 = pairs.matches.points1[index].detach().cpu()[inliers].double()
    homography = pairs.estimate.homography[index].detach().cpu().double()
    # Inliers lie on one side of the horizon, and their mean on the same.
    projected, valid = transform_points(points0, homography, points0.mean(dim=0))
    residual = (projected - points1).norm(dim=1)
    return InlierMatches(points0, points1, torch.where(valid, residual, torch.inf))


def _draw(run: FinishedRun, label: str, pair: int) -> MatchDrawing:
    """Place two frames side by side at one height and draw lines between inliers."""
    i, j = run.alignment.pairs.frames[pair].tolist()
    points0, points1, residual = inlier_matches(run.alignment.pairs, pair)
    finite = residual[residual.isfinite()]
    top = max(1.0, float(finite.quantile(0.95))) if len(finite) else 1.0
    lines = min(_MAX_LINES, len(residual))
    evenly = torch.arange(lines) * (len(residual) - 1) // max(1, lines - 1)
    drawn = evenly[residual[evenly].argsort(stable=True)]  # the worst on top
    pictures, ends, x = [], [], 0
    for frame, points in ((run.frames[i], points0), (run.frames[j], points1)):
        height, width = image_size(frame)
        shown_width = max(1, round(_HEIGHT * width / height))
        picture = reduce_image(frame, (_HEIGHT, shown_width))
        pictures.append((data_uri(picture, quality=80, icc_profile=run.icc_profile), x, shown_width))
        scale = torch.tensor([shown_width / width, _HEIGHT / height], dtype=torch.float64)
        # From pixels, whose centres are at integers, to an SVG, whose origin is a corner.
        ends.append((points[drawn] + 0.5) * scale + torch.tensor([x, 0]))
        x += shown_width + _GAP
    coordinates = torch.cat(ends, dim=1).round(decimals=1).tolist()
    colours = [_ramp(share) for share in (residual[drawn] / top).tolist()]
    return MatchDrawing(
        label=label,
        names=(run.names[i], run.names[j]),
        width=x - _GAP,
        height=_HEIGHT,
        pictures=pictures,
        lines=[(*row, colour) for row, colour in zip(coordinates, colours, strict=True)],
        inliers=len(residual),
        median=float(finite.quantile(0.5)) if len(finite) else float("inf"),
        top=top,
    )


def _ramp(share: float) -> str:
    """Return the colour of a residual, given as a share of the scale's end."""
    position = 2 * min(max(share, 0.0), 1.0)
    low = min(int(position), 1)
    mixed = [a + (b - a) * (position - low) for a, b in zip(_RAMP[low], _RAMP[low + 1], strict=True)]
    return "#" + "".join(f"{round(c):02x}" for c in mixed)
