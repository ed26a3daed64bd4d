"""Results of alignment as tables: CSV to compute with, Markdown and pages to read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from diar_ops._files import to_csv
from diar_ops.evaluation.alignment.summary import (
    COMPARED,
    MEASURES,
    AlignmentComparison,
    AlignmentSummary,
)
from diar_ops.evaluation.summary import Mean
from diar_ops.evaluation.tables import Table, counted

__all__ = [
    "alignment_comparison_csv", "alignment_comparison_tables", "alignment_csv", "alignment_tables",
]  # fmt: skip


def alignment_csv(summaries: Iterable[AlignmentSummary]) -> str:
    """Return values and ends of intervals as CSV; shares in [0, 1], seconds per frame."""
    names = [*MEASURES, "seconds"]
    columns = [f"{name}{end}" for name in names for end in ("", "_low", "_high")]
    rows = []
    for s in summaries:
        values = [f"{x:.6f}" for m in (*s.figures.values(), s.seconds) for x in m]
        rows.append([*s[:6], *values])
    return to_csv(["set", "frames", "method", "sequences", "pictures", "scored", *columns], rows)


def alignment_tables(summaries: Sequence[AlignmentSummary]) -> list[Table]:
    """Return one table per set and number of frames."""
    tables = []
    for name, frames in dict.fromkeys((s.set, s.frames) for s in summaries):
        shown = [s for s in summaries if (s.set, s.frames) == (name, frames)]
        heads = ["method", "n", *(title for title, _ in MEASURES.values()), "time per frame [ms]"]
        rows = []
        for s in shown:
            cells = [_cell(s.figures[m], percent=_is_share(m)) for m in MEASURES]
            rows.append([s.method, str(s.scored), *cells, f"{1e3 * s.seconds.mean:.3g}"])
        title = _title(name, frames, [(s.sequences, s.pictures, s.scored) for s in shown])
        tables.append(Table(title, 1, heads, rows, name, frames))
    return tables


def alignment_comparison_csv(comparisons: Iterable[AlignmentComparison]) -> str:
    """Return differences and ends of their intervals as CSV; of shares in [0, 1]."""
    columns = [f"{name}{end}" for name in COMPARED for end in ("", "_low", "_high")]
    rows = [[*c[:9], *(f"{x:.6f}" for m in c.figures.values() for x in m)] for c in comparisons]
    return to_csv([*AlignmentComparison._fields[:9], *columns], rows)


def alignment_comparison_tables(comparisons: Sequence[AlignmentComparison]) -> list[Table]:
    """Return one table per set and number of frames."""
    tables = []
    for name, frames in dict.fromkeys((c.set, c.frames) for c in comparisons):
        shown = [c for c in comparisons if (c.set, c.frames) == (name, frames)]
        heads = ["method", "against", "n", "better on", "worse on"]
        heads += [MEASURES[measure][0] for measure in COMPARED]
        rows = [
            [
                c.method, c.against, str(c.scored), str(c.better), str(c.worse),
                *(_cell(c.figures[m], percent=_is_share(m), sign="+") for m in COMPARED),
            ]
            for c in shown
        ]  # fmt: skip
        title = _title(name, frames, [(c.sequences, c.pictures, c.scored) for c in shown])
        tables.append(Table(title, 2, heads, rows, name, frames))
    return tables


def _title(name: str, frames: int, counts: Sequence[tuple[int, int, int]]) -> str:
    scored = " or ".join(map(str, sorted({n for _, _, n in counts})))
    many = counted((sequences, pictures) for sequences, pictures, _ in counts)
    return f"{name}, {frames} frames each, {many}, {scored} frames without the references"


def _is_share(measure: str) -> bool:
    return measure not in ("median", "p95")


def _cell(figure: Mean, *, percent: bool, sign: str = "") -> str:
    value, low, high = (_number(x, percent=percent, sign=sign) for x in figure)
    return value if math.isnan(figure.low) else f"{value} [{low}, {high}]"


def _number(value: float, *, percent: bool, sign: str) -> str:
    if math.isnan(value):
        return "-"
    return f"{100 * value:{sign}.1f}" if percent else f"{value:{sign}.2f}"
