"""Section of the report: errors of alignment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks.quality.alignment.error_plots import plot_boxes, plot_cumulative
from benchmarks.quality.alignment.frame_errors import of_most_frames
from benchmarks.quality.alignment.frame_pictures import choose_frames, frame_file
from benchmarks.quality.alignment.measures import COMPARED, FAR, MEASURES, compare_aligners, summarise_alignment
from benchmarks.quality.evaluation_page import Block, Section, case_pictures, write_section
from benchmarks.quality.record import PICTURES, StoredResults
from benchmarks.quality.result_tables import Column, Table, count_cell, count_words, mean_cell, summaries_csv, tables_of
from benchmarks.quality.rows import Row
from benchmarks.quality.summaries import Summary

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
    stored: StoredResults, figures: Path, words: Mapping[str, str], *, against: str | None = None, cases: int = 1
) -> Section:
    """Write tables and figures of errors, and return their section.

    Args:
        stored: The results; the files of :func:`write_section` are written to their folder.
        figures: Folder of the figures, :data:`FIGURES` with ``.png`` and ``.svg``.
        words: What methods do, by their names.
        against: See :func:`compare_aligners`.
        cases: How many worst, median and best frames are shown, of those with a picture.
    """
    folder, rows, _, pictures = stored
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
    methods = dict.fromkeys(row.method for row in rows)
    section = Section(
        "Alignment",
        WORDS,
        blocks,
        [(figures / name, caption) for name, caption in FIGURES.items()],
        case_pictures(choose_frames(rows, cases), partial(frame_file, folder / PICTURES), _case_caption),
        "By corner error. The frame; the reference; both laid over each other, grey where they "
        "fit; their difference. Outlines: green where it belongs, red where the method has it.",
        [f"`{method}`: {words[method]}" for method in methods if method in words],
    )
    csv = alignment_csv(summaries), alignment_comparison_csv(comparisons)
    write_section(folder, section, *csv)
    return section


def _case_caption(row: Row) -> str:
    values = row.values
    errors = f"corner error {values['corner_error']:.2f} px, distance {values['distance']:.2f}"
    return (
        f"{row.set}/{row.sequence}, frame {values['frame']} of {row.frames}: "
        f"{errors if values['success'] else 'refused'}"
    )


def alignment_csv(summaries: Sequence[Summary]) -> str:
    """Return values and ends of intervals as CSV; shares in [0, 1], seconds per frame."""
    labels, counts = ("set", "frames", "method"), ("sequences", "pictures", "scored")
    return summaries_csv(summaries, labels, counts, (*MEASURES, "seconds"))


def alignment_comparison_csv(comparisons: Sequence[Summary]) -> str:
    """Return differences and ends of their intervals as CSV; of shares in [0, 1]."""
    labels = ("set", "frames", "method", "against")
    counts = ("sequences", "pictures", "scored", "better", "worse")
    return summaries_csv(comparisons, labels, counts, COMPARED)


def alignment_tables(summaries: Sequence[Summary]) -> list[Table]:
    """Return one table per set and number of frames."""
    columns: list[Column] = [
        ("method", lambda s: s.method),
        ("n", count_cell("scored")),
        *((MEASURES[name].title, mean_cell(MEASURES, name)) for name in MEASURES),
        ("time per frame [ms]", lambda s: f"{1e3 * s.scores['seconds'].mean:.3g}"),
    ]
    return tables_of(summaries, columns, _title, words=1)


def alignment_comparison_tables(comparisons: Sequence[Summary]) -> list[Table]:
    """Return one table per set and number of frames."""
    columns: list[Column] = [
        ("method", lambda s: s.method),
        ("against", lambda s: s.against),
        ("n", count_cell("scored")),
        ("better on", count_cell("better")),
        ("worse on", count_cell("worse")),
        *((MEASURES[name].title, mean_cell(MEASURES, name, "+")) for name in COMPARED),
    ]
    return tables_of(comparisons, columns, _title, words=2)


def _title(summaries: Sequence[Summary]) -> str:
    name, frames, *_ = summaries[0]
    scored = " or ".join(map(str, sorted({s.counts["scored"] for s in summaries})))
    return (
        f"{name}, {frames} frames each, {count_words(s.size for s in summaries)}, "
        f"{scored} frames without the references"
    )
