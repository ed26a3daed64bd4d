"""Summaries of alignment as tables: CSV to compute with, Markdown to read."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence

from diar_ops.evaluation.alignment.summary import MEASURES, AlignmentSummary
from diar_ops.evaluation.summary import Mean
from diar_ops.evaluation.tables import markdown_head, markdown_line

__all__ = ["alignment_csv", "alignment_markdown"]


def alignment_csv(summaries: Iterable[AlignmentSummary]) -> str:
    """Return values and ends of intervals as CSV; shares in [0, 1], seconds per frame."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    names = [*MEASURES, "seconds"]
    columns = [f"{name}{end}" for name in names for end in ("", "_low", "_high")]
    table.writerow(["set", "frames", "method", "sequences", "scored", *columns])
    for s in summaries:
        cells = [x for name in MEASURES for x in s.figures[name]] + list(s.seconds)
        values = [f"{x:.6f}" for x in cells]
        table.writerow([s.set, s.frames, s.method, s.sequences, s.scored, *values])
    return text.getvalue()


def alignment_markdown(summaries: Sequence[AlignmentSummary], words: Mapping[str, str]) -> str:
    """Return one table per set and number of frames, and what the methods are.

    Args:
        summaries: What to show.
        words: What each method does, by its name.
    """
    parts = []
    for name, frames in dict.fromkeys((s.set, s.frames) for s in summaries):
        shown = [s for s in summaries if (s.set, s.frames) == (name, frames)]
        counts = sorted({(s.sequences, s.scored) for s in shown})
        many = " or ".join(f"{n} sequences, {scored} frames" for n, scored in counts)
        heads = ["method", *(title for title, _ in MEASURES.values()), "time per frame [ms]"]
        lines = [f"**{name}**, {frames} frames each ({many} without the references)", ""]
        lines += markdown_head(heads, 1)
        for s in shown:
            cells = [_cell(s.figures[m], percent="%" in MEASURES[m][0] and m != "p95")
                     for m in MEASURES]  # fmt: skip
            lines.append(markdown_line([s.method, *cells, f"{1e3 * s.seconds.mean:.3g}"]))
        parts.append("\n".join(lines))
    used = dict.fromkeys(s.method for s in summaries)
    parts.append("\n".join(f"- `{method}`: {words[method]}" for method in used))
    return "\n\n".join(parts)


def _cell(figure: Mean, *, percent: bool) -> str:
    value, low, high = (_number(x, percent=percent) for x in figure)
    return value if math.isnan(figure.low) else f"{value} [{low}, {high}]"


def _number(value: float, *, percent: bool) -> str:
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return "inf"
    return f"{100 * value:.1f}" if percent else f"{value:.2f}"
