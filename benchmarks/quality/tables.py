"""Results as tables: CSV to compute with, Markdown and pages to read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from benchmarks.quality.scores import DECIMALS, LOWER_IS_BETTER, SCORES
from benchmarks.quality.summary import Comparison, Mean, Summary
from diar_ops._files import to_csv

__all__ = [
    "Table",
    "comparison_csv",
    "comparison_tables",
    "counted",
    "markdown_head",
    "markdown_line",
    "mean_words",
    "summary_csv",
    "summary_tables",
    "tables_markdown",
]

#: Median seconds by (set, frames, method).
Seconds = Mapping[tuple[str, int, str], float]


class Table(NamedTuple):
    """A table to read.

    Attributes:
        title: What it is of.
        words: How many columns, from the first on, are words; the others are numbers.
        heads: What each column is.
        rows: The cells of each row.
        set: The set that all rows are of; empty if of none.
        frames: The number of frames that all rows are of; 0 if of none.
    """

    title: str
    words: int
    heads: list[str]
    rows: list[list[str]]
    set: str = ""
    frames: int = 0


def tables_markdown(tables: Iterable[Table]) -> str:
    """Return tables as Markdown, one below the other."""
    parts = []
    for table in tables:
        lines = [f"**{table.title}**", "", *markdown_head(table.heads, table.words)]
        lines += map(markdown_line, table.rows)
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def summary_csv(summaries: Sequence[Summary], seconds: Seconds | None = None) -> str:
    """Return means and ends of intervals as CSV; a column of seconds only if there are some."""
    names = list(summaries[0].scores) if summaries else []
    columns = [f"{score}{end}" for score in names for end in ("", "_low", "_high")]
    time = ["seconds"] if seconds else []
    rows = []
    for s in summaries:
        values = [f"{value:.6f}" for score in names for value in s.scores[score]]
        if seconds:
            taken = seconds.get((s.set, s.frames, s.method))
            values.append("" if taken is None else f"{taken:.4g}")
        rows.append([s.set, s.frames, s.method, s.sequences, s.pictures, *values])
    return to_csv(["set", "frames", "method", "sequences", "pictures", *columns, *time], rows)


def summary_tables(summaries: Sequence[Summary], seconds: Seconds | None = None) -> list[Table]:
    """Return one table per set and number of frames."""
    tables = []
    for name, frames in dict.fromkeys((s.set, s.frames) for s in summaries):
        shown = [s for s in summaries if (s.set, s.frames) == (name, frames)]
        scores = list(shown[0].scores)
        heads = ["method", "n", *(SCORES[score] for score in scores)]
        heads += ["time [s]"] if seconds else []
        rows = []
        for s in shown:
            cells = [s.method, str(s.sequences)]
            cells += [mean_words(s.scores[score], DECIMALS[score]) for score in scores]
            if seconds:
                taken = seconds.get((name, frames, s.method))
                cells.append("" if taken is None else f"{taken:.3g}")
            rows.append(cells)
        counts = [(s.sequences, s.pictures) for s in shown]
        title = f"{name}, {_frames(frames)}, {counted(counts)}"
        tables.append(Table(title, 1, heads, rows, name, frames))
    return tables


def comparison_csv(comparisons: Sequence[Comparison]) -> str:
    """Return differences, their intervals, and how often each method is better, as CSV."""
    names = list(comparisons[0].scores) if comparisons else []
    columns = [f"{score}{end}" for score in names for end in ("", "_low", "_high", "_better")]
    rows = [
        [
            *c[:6],
            *(
                cell
                for score in names
                for cell in (*(f"{x:.6f}" for x in c.scores[score].mean), c.scores[score].better)
            ),
        ]
        for c in comparisons
    ]
    return to_csv(["set", "frames", "method", "against", "sequences", "pictures", *columns], rows)


def comparison_tables(comparisons: Sequence[Comparison]) -> list[Table]:
    """Return one table per set and number of frames.

    Cells hold the mean difference, its interval, and on how many sequences the method is better.
    """
    tables = []
    for name, frames in dict.fromkeys((c.set, c.frames) for c in comparisons):
        shown = [c for c in comparisons if (c.set, c.frames) == (name, frames)]
        scores = list(shown[0].scores)
        heads = ["method", "against", "n"]
        heads += [f"{SCORES[s]}{' (less is better)' * (s in LOWER_IS_BETTER)}" for s in scores]
        rows = []
        for c in shown:
            cells = [c.method, c.against, str(c.sequences)]
            for score in scores:
                mean, better = c.scores[score]
                said = mean_words(mean, DECIMALS[score], "+")
                cells.append(f"{said}, better on {better}")
            rows.append(cells)
        counts = [(c.sequences, c.pictures) for c in shown]
        title = f"{name}, {_frames(frames)}, {counted(counts)}"
        tables.append(Table(title, 2, heads, rows, name, frames))
    return tables


def counted(counts: Iterable[tuple[int, int]]) -> str:
    """Return numbers of (sequences, pictures) in words; several where methods differ in them."""
    return " or ".join(
        f"n = {n} sequence{'s' * (n != 1)}"
        + ("" if n == pictures else f" of {pictures} picture{'s' * (pictures != 1)}")
        for n, pictures in sorted(set(counts))
    )


def mean_words(mean: Mean, decimals: int, sign: str = "") -> str:
    """Return a mean and its interval in words."""
    value, low, high = (f"{x:{sign}.{decimals}f}" for x in mean)
    return value if math.isnan(mean.low) else f"{value} [{low}, {high}]"


def _frames(count: int) -> str:
    return f"{count} frame{'s' * (count != 1)}"


def markdown_head(cells: Sequence[str], words: int) -> list[str]:
    """Return the first two lines of a table, whose first ``words`` columns are words."""
    return [markdown_line(cells), markdown_line(["---"] * words + ["---:"] * (len(cells) - words))]


def markdown_line(cells: Sequence[str]) -> str:
    """Return a row of a table."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
