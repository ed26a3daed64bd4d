"""What is written of an evaluation of robustness, beside its table of rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from diar_ops._files import write_text_atomic
from diar_ops.evaluation.robustness.methods import ALIGNED
from diar_ops.evaluation.robustness.plots import plot_alignment, plot_reconstruction
from diar_ops.evaluation.robustness.rows import ROBUSTNESS, RobustnessRow
from diar_ops.evaluation.robustness.summary import (
    LOST,
    PLACED,
    find_breaking_points,
    summarise_robustness,
)
from diar_ops.evaluation.robustness.tables import (
    breaking_markdown,
    factor_markdown,
    robustness_csv,
)

__all__ = ["write_robustness"]


def write_robustness(out: Path, rows: Sequence[RobustnessRow]) -> str:
    """Write summary and plots of results, and return what there is to read.

    Args:
        out: Where to; see the attributes of :data:`ROBUSTNESS` for the names of the files.
        rows: All results to show.
    """
    summaries = summarise_robustness(rows)
    sequences = max(s.sequences for s in summaries)
    text = "\n\n".join(
        (
            f"Means over {sequences} sequences of {rows[0].frames} frames each. In every table one "
            "thing grows and all else stays as it is, mild; its levels are what the frames were "
            "measured to have. Frames lie over the label by their exact homographies, but for "
            f"methods with {ALIGNED} behind their names: there align_sequence laid them over the "
            "first frame.",
            "## Breaking points",
            f"Where a method has lost {LOST:g} dB (after one colour gain) of what it reaches at "
            f"the first level, or lays less than {100 * PLACED:g} % of the frames within 3 px; in "
            "between two levels by a straight line. A method that is poor from the start breaks "
            "late: read along with what it reaches.",
            breaking_markdown(find_breaking_points(summaries)),
            "## Levels",
            *(
                factor_markdown([s for s in summaries if s.factor == factor])
                for factor in dict.fromkeys(s.factor for s in summaries)
            ),
        )
    )
    write_text_atomic(out / "robustness.md", text + "\n", overwrite=True)
    write_text_atomic(out / "robustness_summary.csv", robustness_csv(summaries), overwrite=True)
    if any("psnr" in s.scores for s in summaries):
        plot_reconstruction(out / "reconstruction", summaries)
    if any("psnr" not in s.scores for s in summaries):
        plot_alignment(out / "alignment", summaries)
    return f"{text}\n\nwrote {out / ROBUSTNESS.table}, {', '.join(ROBUSTNESS.others)}"
