"""Summaries as tables: CSV to compute with, Markdown to read."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence

from diar_ops.evaluation.scores import SCORES
from diar_ops.evaluation.summary import Lead, Mean, Summary

__all__ = [
    "leads_markdown", "markdown_head", "markdown_line", "summary_csv", "summary_markdown",
]  # fmt: skip

#: Decimals in Markdown.
DECIMALS = {"psnr": 2, "psnr_gain": 2, "rmse": 4, "ssim": 4}

#: Median seconds by (set, frames, method).
Seconds = Mapping[tuple[str, int, str], float]


def summary_csv(summaries: Iterable[Summary], seconds: Seconds | None = None) -> str:
    """Return means and ends of intervals as CSV; a column of seconds only if there are some."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    columns = [f"{score}{end}" for score in SCORES for end in ("", "_low", "_high")]
    time = ["seconds"] if seconds else []
    table.writerow(["set", "frames", "method", "sequences", *columns, *time])
    for s in summaries:
        values = [f"{value:.6f}" for score in SCORES for value in s.scores[score]]
        if seconds:
            taken = seconds.get((s.set, s.frames, s.method))
            values.append("" if taken is None else f"{taken:.4g}")
        table.writerow([s.set, s.frames, s.method, s.sequences, *values])
    return text.getvalue()


def summary_markdown(summaries: Sequence[Summary], seconds: Seconds | None = None) -> str:
    """Return one table per set."""
    parts = []
    for name in dict.fromkeys(s.set for s in summaries):
        heads = ["method", "frames", "sequences", *SCORES.values()]
        heads += ["time [s]"] if seconds else []
        lines = [f"**{name}**", "", *markdown_head(heads, 1)]
        for s in (s for s in summaries if s.set == name):
            cells = [s.method, str(s.frames), str(s.sequences)]
            cells += [_mean(s.scores[score], DECIMALS[score]) for score in SCORES]
            if seconds:
                taken = seconds.get((s.set, s.frames, s.method))
                cells.append("" if taken is None else f"{taken:.3g}")
            lines.append(markdown_line(cells))
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def leads_markdown(leads: Sequence[Lead]) -> str:
    """Return a table of leads; empty without any."""
    if not leads:
        return ""
    heads = ["set", "method", "frames", "best classical", "sequences", *SCORES.values()]
    lines = [
        "Lead over the best classical method, sequence by sequence:",
        "",
        *markdown_head(heads, 2),
    ]
    for lead in leads:
        cells = [lead.set, lead.method, str(lead.frames), lead.rival, str(lead.sequences)]
        cells += [_mean(lead.scores[score], DECIMALS[score], "+") for score in SCORES]
        lines.append(markdown_line(cells))
    return "\n".join(lines)


def _mean(mean: Mean, decimals: int, sign: str = "") -> str:
    value, low, high = (f"{x:{sign}.{decimals}f}" for x in mean)
    return value if math.isnan(mean.low) else f"{value} [{low}, {high}]"


def markdown_head(cells: Sequence[str], words: int) -> list[str]:
    """Return the first two lines of a table, whose first ``words`` columns are words."""
    return [markdown_line(cells), markdown_line(["---"] * words + ["---:"] * (len(cells) - words))]


def markdown_line(cells: Sequence[str]) -> str:
    """Return a row of a table."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
