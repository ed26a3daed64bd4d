"""What is written and shown of an evaluation of alignment."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.quality.alignment.pictures import choose_frames, frame_file
from benchmarks.quality.alignment.plots import plot_boxes, plot_cumulative
from benchmarks.quality.alignment.score import AlignmentRow, of_most_frames
from benchmarks.quality.alignment.summary import (
    COMPARED,
    FAR,
    MEASURES,
    AlignmentComparison,
    AlignmentSummary,
    compare_aligners,
    summarise_alignment,
)
from benchmarks.quality.page import Block, CasePicture, Section, section_markdown
from benchmarks.quality.record import PICTURES
from benchmarks.quality.rows import Pictures
from benchmarks.quality.summary import Mean
from benchmarks.quality.tables import Table, counted
from diar_ops._files import to_csv, write_text_atomic

__all__ = [
    "alignment_comparison_csv",
    "alignment_comparison_tables",
    "alignment_csv",
    "alignment_section",
    "alignment_tables",
]

WORDS = (
    "How far off is each frame, laid over frame 0 of its sequence? All frames count but the "
    "references; those that a method refuses count as infinitely far off. Errors are those of the "
    "frame's corners, in pixels of the reference. False accepts: of the frames called aligned, "
    f"those that are off by more than {FAR:g} px. In brackets 95 % intervals (bootstrap over "
    "pictures). Time: of one processor."
)
PAIRED = (
    "Difference to the method under against, on the same frames, in brackets its 95 % interval "
    "(bootstrap over pictures); shares in percentage points. Better and worse: on how many of the "
    "n frames the corner error is smaller and larger."
)
FIGURES = {
    "corner_error": "Corner errors of all frames, aligned together with all others of their "
    "sequence that were used; box: the middle half, whiskers: 5 and 95 %.",
    "distance": "Distances of the homographies at determinant 1; boxes likewise.",
    "cumulative": "Share of all frames below each corner error.",
}


def alignment_section(
    folder: Path,
    figures: Path,
    rows: Sequence[AlignmentRow],
    pictures: Pictures,
    words: Mapping[str, str],
    *,
    against: str | None = None,
    cases: int = 1,
) -> Section:
    """Write tables and figures of results, and return what there is to show.

    Args:
        folder: Where the results are; ``summary.md``, ``summary.csv`` and ``comparisons.csv`` are
            written there.
        figures: Folder of the figures, :data:`FIGURES` with ``.png`` and ``.svg``.
        rows: All results to show.
        pictures: What sequences show.
        words: What methods do, by their names.
        against: See :func:`compare_aligners`.
        cases: How many worst, median and best frames are shown, of those with a picture.
    """
    summaries = summarise_alignment(rows, pictures)
    comparisons = compare_aligners(rows, pictures, against)
    drawn = of_most_frames(rows)
    for value in ("corner_error", "distance"):
        plot_boxes(figures / value, drawn, value, pictures)
    plot_cumulative(figures / "cumulative", drawn, pictures)
    blocks = [Block("", "", alignment_tables(summaries))]
    if comparisons:
        tables = alignment_comparison_tables(comparisons)
        blocks.append(Block("Compared in pairs", PAIRED, tables))
    shown: dict[str, list[CasePicture]] = {}
    for kind, row in choose_frames(rows, cases) if cases else ():
        file = frame_file(folder / PICTURES, row)
        if file.exists():
            off = f"corner error {row.corner_error:.2f} px, distance {row.distance:.2f}"
            said = f"{row.set}/{row.sequence}, frame {row.frame} of {row.frames}: "
            said += off if row.success else "refused"
            shown.setdefault(row.method, []).append(CasePicture(kind, said, file))
    methods = dict.fromkeys(row.method for row in rows)
    section = Section(
        "Alignment",
        WORDS,
        blocks,
        [(figures / name, said) for name, said in FIGURES.items()],
        shown,
        "By corner error. The frame; the reference; both laid over each other, grey where they "
        "fit; their difference. Outlines: green where it belongs, red where the method has it.",
        [f"`{method}`: {words[method]}" for method in methods if method in words],
    )
    write_text_atomic(folder / "summary.md", section_markdown(section) + "\n", overwrite=True)
    write_text_atomic(folder / "summary.csv", alignment_csv(summaries), overwrite=True)
    write_text_atomic(
        folder / "comparisons.csv", alignment_comparison_csv(comparisons), overwrite=True
    )
    return section


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
                c.method,
                c.against,
                str(c.scored),
                str(c.better),
                str(c.worse),
                *(_cell(c.figures[m], percent=_is_share(m), sign="+") for m in COMPARED),
            ]
            for c in shown
        ]
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
