"""Results as tables: CSV to compute with, Markdown and pages to read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from benchmarks.quality.csv_lines import to_csv
from benchmarks.quality.intervals import Mean
from benchmarks.quality.rows import group_by
from benchmarks.quality.scores import SCORES, Measure
from benchmarks.quality.summaries import Summary

#: Median seconds by (set, frames, method).
Seconds: TypeAlias = Mapping[tuple[str, int, str], float]
#: Head of a column, and what its cells say of a summary.
Column: TypeAlias = tuple[str, Callable[[Summary], str]]


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
    return "\n\n".join(
        f"**{table.title}**\n\n{markdown_grid(table.heads, table.rows, table.words)}" for table in tables
    )


def markdown_grid(heads: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> str:
    """Return heads and cells as Markdown; the first ``words`` columns are words."""
    rule = ["---"] * words + ["---:"] * (len(heads) - words)
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |" for cells in (heads, rule, *rows)
    )


def tables_of(
    summaries: Iterable[Summary], columns: Sequence[Column], title: Callable[[Sequence[Summary]], str], *, words: int
) -> list[Table]:
    """Return one table per set and number of frames, with a row per summary."""
    return [
        Table(
            title(group),
            words,
            [head for head, _ in columns],
            [[cell(summary) for _, cell in columns] for summary in group],
            *place,
        )
        for place, group in group_by(summaries, lambda s: (s.set, s.frames)).items()
    ]


def summaries_csv(
    summaries: Sequence[Summary],
    labels: Sequence[str],
    counts: Sequence[str],
    scores: Sequence[str],
    seconds: Seconds | None = None,
) -> str:
    """Return summaries as CSV.

    Args:
        summaries: Each makes a line.
        labels: Fields that come first.
        counts: Counts that come next.
        scores: Scores, each with the ends of its interval, and, where it was counted, on how many
            sequences the method is better.
        seconds: What methods took, in a last column.
    """
    first = summaries[0].counts if summaries else {}
    better = {score: [f"{score}_better"] * (f"{score}_better" in first) for score in scores}
    heads = [*labels, *counts]
    for score in scores:
        heads += [*interval_heads([score]), *better[score]]
    lines = []
    for summary in summaries:
        line = [getattr(summary, label) for label in labels]
        line += [summary.counts[count] for count in counts]
        for score in scores:
            line += interval_cells(summary.scores[score])
            line += [summary.counts[name] for name in better[score]]
        if seconds:
            measured = seconds.get(summary[:3])
            line.append("" if measured is None else f"{measured:.4g}")
        lines.append(line)
    return to_csv(heads + ["seconds"] * bool(seconds), lines)


def interval_heads(scores: Iterable[str]) -> list[str]:
    """Return the heads of the columns of scores and the ends of their intervals."""
    return [f"{score}{end}" for score in scores for end in ("", "_low", "_high")]


def interval_cells(mean: Mean | None) -> list[str]:
    """Return a mean and the ends of its interval as cells of a CSV file; empty for none."""
    return ["", "", ""] if mean is None else [f"{value:.6f}" for value in mean]


def summary_csv(summaries: Sequence[Summary], seconds: Seconds | None = None) -> str:
    """Return the scores of methods as CSV; a column of seconds only if there are some."""
    labels, counts = ("set", "frames", "method"), ("sequences", "pictures")
    return summaries_csv(summaries, labels, counts, _scores(summaries), seconds)


def comparison_csv(comparisons: Sequence[Summary]) -> str:
    """Return differences, their intervals, and how often each method is better, as CSV."""
    labels, counts = ("set", "frames", "method", "against"), ("sequences", "pictures")
    return summaries_csv(comparisons, labels, counts, _scores(comparisons))


def summary_tables(summaries: Sequence[Summary], seconds: Seconds | None = None) -> list[Table]:
    """Return the scores of methods, one table per set and number of frames."""

    def time(summary: Summary) -> str:
        measured = (seconds or {}).get(summary[:3])
        return "" if measured is None else f"{measured:.3g}"

    columns: list[Column] = [("method", lambda s: s.method), ("n", count_cell("sequences"))]
    columns += [(SCORES[score].title, mean_cell(SCORES, score)) for score in _scores(summaries)]
    columns += [("time [s]", time)] if seconds else []
    return tables_of(summaries, columns, _title, words=1)


def comparison_tables(comparisons: Sequence[Summary]) -> list[Table]:
    """Return one table per set and number of frames.

    Cells hold the mean difference, its interval, and on how many sequences the method is better.
    """
    columns: list[Column] = [
        ("method", lambda s: s.method),
        ("against", lambda s: s.against),
        ("n", count_cell("sequences")),
    ]
    for score in _scores(comparisons):
        note = " (less is better)" if SCORES[score].lower_is_better else ""
        columns.append((SCORES[score].title + note, _difference_cell(score)))
    return tables_of(comparisons, columns, _title, words=2)


def _scores(summaries: Sequence[Summary]) -> list[str]:
    return list(summaries[0].scores) if summaries else []


def count_cell(name: str) -> Callable[[Summary], str]:
    """Return a function that formats a count of a summary."""
    return lambda summary: str(summary.counts[name])


def mean_cell(measures: Mapping[str, Measure], name: str, sign: str = "") -> Callable[[Summary], str]:
    """Return a function that formats a score of a summary with its interval."""
    return lambda summary: measures[name].format_mean(summary.scores[name], sign)


def _difference_cell(score: str) -> Callable[[Summary], str]:
    mean, better = mean_cell(SCORES, score, "+"), count_cell(f"{score}_better")
    return lambda summary: f"{mean(summary)}, better on {better(summary)}"


def _title(summaries: Sequence[Summary]) -> str:
    name, frames, *_ = summaries[0]
    return f"{name}, {frames} frame{'s' * (frames != 1)}, {count_words(s.size for s in summaries)}"


def count_words(sizes: Iterable[tuple[int, int]]) -> str:
    """Return numbers of (sequences, pictures) in words; several where methods differ in them."""
    return " or ".join(
        f"n = {n} sequence{'s' * (n != 1)}"
        + ("" if n == pictures else f" of {pictures} picture{'s' * (pictures != 1)}")
        for n, pictures in sorted(set(sizes))
    )
