"""Means over sequences at each level, and where methods break."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch

from benchmarks.quality.robustness.plan import RobustnessRow
from benchmarks.quality.summary import Mean, mean_of

__all__ = [
    "LOST",
    "PLACED",
    "RULES",
    "BreakingPoint",
    "LevelSummary",
    "find_breaking_points",
    "summarise_robustness",
]

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
    """What a method reaches at a level of a factor.

    Attributes:
        factor: The factor.
        level: What was asked for.
        measured: What the frames have, mean over sequences.
        method: The method.
        sequences: How many.
        scores: By name.
        lost: How much less of ``psnr_gain`` than at the first level, sequence by sequence; None
            for methods of alignment.
    """

    factor: str
    level: float
    measured: float
    method: str
    sequences: int
    scores: dict[str, Mean]
    lost: Mean | None


class BreakingPoint(NamedTuple):
    """Where a method breaks as a factor grows.

    Attributes:
        factor: The factor.
        method: The method.
        score: What decides, of :data:`RULES`.
        at: How much of the factor, as measured, in between two levels by a straight line; what
            the first level has, if it is broken from the start; None if it never breaks.
        last: How much of the factor the last level has.
    """

    factor: str
    method: str
    score: str
    at: float | None
    last: float


def summarise_robustness(rows: Iterable[RobustnessRow]) -> list[LevelSummary]:
    """Return one summary per factor, method and level, in order of appearance."""
    groups: dict[tuple[str, str], dict[float, list[RobustnessRow]]] = {}
    for row in rows:
        of = groups.setdefault((row.factor, row.method), {})
        of.setdefault(row.level, []).append(row)
    return [
        _summary(factor, level, method, group, levels[min(levels)])
        for (factor, method), levels in groups.items()
        for level, group in sorted(levels.items())
    ]


def find_breaking_points(summaries: Sequence[LevelSummary]) -> list[BreakingPoint]:
    """Return where each method breaks, per factor, in order of appearance.

    A method of reconstruction where it has lost more than :data:`LOST` dB of what it reaches at
    the first level, one of alignment where it places less than :data:`PLACED`.
    """
    groups: dict[tuple[str, str], list[LevelSummary]] = {}
    for summary in summaries:
        groups.setdefault((summary.factor, summary.method), []).append(summary)
    points = []
    for (factor, method), levels in groups.items():
        score = next((name for name in RULES if name in levels[0].scores), None)
        if score is None:
            continue
        limit = levels[0].scores[score].mean - LOST if score == "psnr_gain" else PLACED
        curve = [(s.measured, s.scores[score].mean) for s in levels if score in s.scores]
        at = _crossing(curve, limit)
        points.append(BreakingPoint(factor, method, score, at, curve[-1][0]))
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


def _summary(
    factor: str,
    level: float,
    method: str,
    rows: Sequence[RobustnessRow],
    first: Sequence[RobustnessRow],
) -> LevelSummary:
    columns: dict[str, dict[str, float]] = {}
    for row in rows:
        columns.setdefault(row.score, {})[row.sequence] = row.value
    measured = {row.sequence: row.measured for row in rows}
    start = {row.sequence: row.value for row in first if row.score == "psnr_gain"}
    losses = [start[s] - v for s, v in columns.get("psnr_gain", {}).items() if s in start]
    return LevelSummary(
        factor,
        level,
        sum(measured.values()) / len(measured),
        method,
        len(measured),
        {name: mean_of(torch.tensor(list(of.values()))) for name, of in columns.items()},
        mean_of(torch.tensor(losses)) if losses else None,
    )
