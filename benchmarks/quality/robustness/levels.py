"""Means over sequences at each level of a factor, and where methods break."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch

from benchmarks.quality.intervals import Mean, mean_of
from benchmarks.quality.rows import Row, group_by

#: A method of reconstruction breaks where it has lost so many dB, after one colour gain.
LOST = 3.0
#: A method of alignment breaks where it lays fewer of the frames within three pixels.
PLACED = 0.9
#: What decides, for methods of reconstruction and of alignment, in words.
RULES = {
    "psnr_gain": f"{LOST:g} dB are lost, after one colour gain",
    "below_3": f"fewer than {100 * PLACED:g} % of the frames are within 3 px",
}


class LevelSummary(NamedTuple):
    """Statistics of a method at a level of a factor.

    Attributes:
        factor: The factor.
        level: What was asked for.
        measured: What the frames have, mean over sequences.
        method: The method.
        sequences: How many.
        scores: By name; of methods of reconstruction also ``lost``: how much less of ``psnr_gain``
            than at the first level, sequence by sequence.
    """

    factor: str
    level: float
    measured: float
    method: str
    sequences: int
    scores: dict[str, Mean]


class BreakingPoint(NamedTuple):
    """The point where a method breaks as a factor grows.

    Attributes:
        factor: The factor.
        method: The method.
        score: What decides, of :data:`RULES`.
        position: How much of the factor, as measured, in between two levels by a straight line;
            what the first level has, if it is broken from the start; None if it never breaks.
        last: How much of the factor the last level has.
    """

    factor: str
    method: str
    score: str
    position: float | None
    last: float


def summarise_robustness(rows: Iterable[Row]) -> list[LevelSummary]:
    """Return one summary per factor, method and level, in order of appearance."""
    summaries = []
    for group in group_by(rows, lambda row: (row.values["factor"], row.method)).values():
        levels = group_by(group, lambda row: row.values["level"])
        first = levels[min(levels)]
        summaries += [_summarise_level(level, first) for _, level in sorted(levels.items())]
    return summaries


def _summarise_level(rows: Sequence[Row], first: Sequence[Row]) -> LevelSummary:
    """Return the summary of a method at a level, given its rows there and at the first level."""
    scores = group_by(rows, lambda row: row.values["score"])
    means = {name: mean_of(torch.tensor([row.values["value"] for row in group])) for name, group in scores.items()}
    start = {r.sequence: r.values["value"] for r in first if r.values["score"] == "psnr_gain"}
    lost = [start[row.sequence] - row.values["value"] for row in scores.get("psnr_gain", []) if row.sequence in start]
    if lost:
        means["lost"] = mean_of(torch.tensor(lost))
    measured = {row.sequence: row.values["measured"] for row in rows}
    return LevelSummary(
        factor=rows[0].values["factor"],
        level=rows[0].values["level"],
        measured=sum(measured.values()) / len(measured),
        method=rows[0].method,
        sequences=len(measured),
        scores=means,
    )


def find_breaking_points(summaries: Sequence[LevelSummary]) -> list[BreakingPoint]:
    """Return where each method breaks, per factor, in order of appearance.

    A method of reconstruction where it has lost more than :data:`LOST` dB of what it reaches at
    the first level, one of alignment where it places less than :data:`PLACED`.
    """
    points = []
    for (factor, method), levels in group_by(summaries, lambda s: (s.factor, s.method)).items():
        score = next((name for name in RULES if name in levels[0].scores), None)
        if score is not None:
            limit = levels[0].scores[score].mean - LOST if score == "psnr_gain" else PLACED
            curve = [(s.measured, s.scores[score].mean) for s in levels if score in s.scores]
            position = _crossing(curve, limit)
            points.append(BreakingPoint(factor, method, score, position, curve[-1][0]))
    return points


def _crossing(curve: Sequence[tuple[float, float]], limit: float) -> float | None:
    """Return where a curve of (x, y) first falls below a limit."""
    before = None
    for x, y in curve:
        if y < limit:
            if before is None:
                return x
            return before[0] + (x - before[0]) * (before[1] - limit) / (before[1] - y)
        before = x, y
    return None
