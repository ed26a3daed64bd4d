"""Summaries of robustness as tables: CSV to compute with, Markdown to read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from diar_ops._files import to_csv
from diar_ops.evaluation.robustness.factors import FACTORS
from diar_ops.evaluation.robustness.rows import ALIGNMENT_SCORES, PICTURE_SCORES
from diar_ops.evaluation.robustness.summary import (
    RULES,
    BreakingPoint,
    LevelSummary,
)
from diar_ops.evaluation.summary import Mean
from diar_ops.evaluation.tables import markdown_head, markdown_line

__all__ = ["breaking_markdown", "factor_markdown", "robustness_csv"]

#: Words of the tables of alignment.
SHARES = {
    "below_1": "frames within 1 px [%]",
    "below_3": "frames within 3 px [%]",
    "accepted_foreign": "photos of another picture taken for aligned [%]",
}


def robustness_csv(summaries: Iterable[LevelSummary]) -> str:
    """Return means and the ends of their intervals as CSV, empty where there is no such score."""
    names = [*PICTURE_SCORES, "lost", *ALIGNMENT_SCORES]
    columns = [f"{name}{end}" for name in names for end in ("", "_low", "_high")]
    rows = []
    for s in summaries:
        means: list[Mean | None] = [s.scores.get(name) for name in PICTURE_SCORES]
        means += [s.lost, *(s.scores.get(name) for name in ALIGNMENT_SCORES)]
        cells = [
            "" if mean is None else f"{value:.6f}"
            for mean in means
            for value in mean or (None,) * 3
        ]
        rows.append([s.factor, f"{s.level:g}", f"{s.measured:.6f}", s.method, s.sequences, *cells])
    return to_csv(["factor", "level", "measured", "method", "sequences", *columns], rows)


def breaking_markdown(points: Sequence[BreakingPoint]) -> str:
    """Return the breaking points of all methods, a table of reconstruction and one of alignment."""
    parts = []
    for score, words in RULES.items():
        of = [p for p in points if p.score == score]
        if not of:
            continue
        factors = list(dict.fromkeys(p.factor for p in of))
        lines = [f"**Where {words}:**", ""]
        lines += markdown_head(["method", *(FACTORS[f].words for f in factors)], 1)
        for method in dict.fromkeys(p.method for p in of):
            found = {p.factor: p for p in of if p.method == method}
            cells = [_breaks(found[f]) if f in found else "" for f in factors]
            lines.append(markdown_line([method, *cells]))
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def factor_markdown(summaries: Sequence[LevelSummary]) -> str:
    """Return the tables of one factor: PSNR of the pictures, shares of the frames."""
    factor = FACTORS[summaries[0].factor]
    levels = {s.level: s.measured for s in summaries}
    heads = [factor.format(measured, 1) for measured in levels.values()]
    lines = [f"### {factor.words[0].upper()}{factor.words[1:]}", "", factor.what]
    pictures = [s for s in summaries if "psnr" in s.scores]
    if pictures:
        lines += ["", "PSNR after one colour gain, in parentheses plain [dB]:", ""]
        lines += markdown_head(["method", *heads], 1)
        lines += _lines(pictures, levels, _picture_cell)
    frames = [s for s in summaries if "psnr" not in s.scores]
    for name, words in SHARES.items():
        of = [s for s in frames if name in s.scores]
        if of:
            lines += ["", f"{words[0].upper()}{words[1:]}:", ""]
            lines += markdown_head(["method", *heads], 1)
            lines += _lines(of, levels, partial(_share_cell, name))
    return "\n".join(lines)


def _picture_cell(summary: LevelSummary) -> str:
    scores = summary.scores
    return f"{scores['psnr_gain'].mean:.1f} ({scores['psnr'].mean:.1f})"


def _share_cell(name: str, summary: LevelSummary) -> str:
    return f"{100 * summary.scores[name].mean:.0f}"


def _lines(
    summaries: Sequence[LevelSummary],
    levels: Iterable[float],
    cell: Callable[[LevelSummary], str],
) -> list[str]:
    """Return a line per method, a cell per level."""
    lines = []
    for method in dict.fromkeys(s.method for s in summaries):
        found = {s.level: cell(s) for s in summaries if s.method == method}
        lines.append(markdown_line([method, *(found.get(level, "") for level in levels)]))
    return lines


def _breaks(point: BreakingPoint) -> str:
    factor = FACTORS[point.factor]
    if point.at is None:
        return f"none up to {factor.format(point.last)}"
    return factor.format(point.at, 1 if point.at * factor.scale < 10 else 0)
