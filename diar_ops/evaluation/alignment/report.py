"""What is written of an evaluation of alignment, beside its table of frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from diar_ops.data import write_text_atomic
from diar_ops.evaluation.alignment.estimate import Aligner
from diar_ops.evaluation.alignment.plots import plot_boxes, plot_cumulative
from diar_ops.evaluation.alignment.rows import ALIGNMENT, AlignmentRow
from diar_ops.evaluation.alignment.summary import FAR, summarise_alignment
from diar_ops.evaluation.alignment.tables import alignment_csv, alignment_markdown

__all__ = ["write_alignment"]


def write_alignment(out: Path, rows: Sequence[AlignmentRow], aligners: Sequence[Aligner]) -> str:
    """Write summary and plots of results, and return what there is to read.

    Args:
        out: Where to; see the attributes of :data:`ALIGNMENT` for the names of the files.
        rows: All results to show.
        aligners: Whose they are.
    """
    summaries = summarise_alignment(rows)
    text = "\n\n".join(
        (
            "All frames count but the references, to which frame 0 of each sequence serves; those "
            "that a method refuses count as infinitely far off. Errors are those of the frame's "
            "corners, in pixels of the reference. False accepts: of the frames called aligned, "
            f"those that are off by more than {FAR:g} px. In brackets 95 % intervals (bootstrap "
            "over sequences). Time: of one processor.",
            alignment_markdown(summaries, {a.name: a.words for a in aligners}),
        )
    )
    write_text_atomic(out / "alignment.md", text + "\n", overwrite=True)
    write_text_atomic(out / "alignment_summary.csv", alignment_csv(summaries), overwrite=True)
    for value in ("corner_error", "distance"):
        plot_boxes(out / value, rows, value)
    plot_cumulative(out / "cumulative", rows)
    return f"{text}\n\nwrote {out / ALIGNMENT.table}, {', '.join(ALIGNMENT.others)}"
