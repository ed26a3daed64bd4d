"""What is written and shown of an evaluation of alignment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from diar_ops._files import write_text_atomic
from diar_ops.evaluation.alignment.pictures import choose_frames, frame_file
from diar_ops.evaluation.alignment.plots import plot_boxes, plot_cumulative
from diar_ops.evaluation.alignment.rows import AlignmentRow, of_most_frames
from diar_ops.evaluation.alignment.summary import FAR, compare_aligners, summarise_alignment
from diar_ops.evaluation.alignment.tables import (
    alignment_comparison_csv,
    alignment_comparison_tables,
    alignment_csv,
    alignment_tables,
)
from diar_ops.evaluation.record import PICTURES
from diar_ops.evaluation.report import Block, CasePicture, Section, section_markdown
from diar_ops.evaluation.summary import Pictures

__all__ = ["alignment_section"]

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
        "Alignment", WORDS, blocks, [(figures / name, said) for name, said in FIGURES.items()],
        shown,
        "By corner error. The frame; the reference; both laid over each other, grey where they "
        "fit; their difference. Outlines: green where it belongs, red where the method has it.",
        [f"`{method}`: {words[method]}" for method in methods if method in words],
    )  # fmt: skip
    write_text_atomic(folder / "summary.md", section_markdown(section) + "\n", overwrite=True)
    write_text_atomic(folder / "summary.csv", alignment_csv(summaries), overwrite=True)
    write_text_atomic(
        folder / "comparisons.csv", alignment_comparison_csv(comparisons), overwrite=True
    )  # fmt: skip
    return section
