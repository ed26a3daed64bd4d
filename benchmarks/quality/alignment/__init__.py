"""Compare methods of alignment on the same frames: who lays them over the reference how well."""

from benchmarks.quality.alignment.aligners import (
    DEFAULT_ALIGNERS,
    PEERS,
    AlignerFiles,
    find_aligners,
)
from benchmarks.quality.alignment.configurations import CONFIGURATIONS, Configuration
from benchmarks.quality.alignment.pairwise import MIN_INLIERS, PAIRS, Aligner, Estimate
from benchmarks.quality.alignment.pictures import (
    choose_frames,
    frame_file,
    picture_of,
    rank_frames,
    write_frames,
)
from benchmarks.quality.alignment.plots import plot_boxes, plot_cumulative
from benchmarks.quality.alignment.report import (
    alignment_comparison_csv,
    alignment_comparison_tables,
    alignment_csv,
    alignment_section,
    alignment_tables,
)
from benchmarks.quality.alignment.score import (
    ALIGNMENT,
    AlignmentRow,
    align_and_score,
    begin_alignment,
    of_most_frames,
    score_frame,
)
from benchmarks.quality.alignment.summary import (
    COMPARED,
    MEASURES,
    AlignmentComparison,
    AlignmentSummary,
    compare_aligners,
    summarise_alignment,
)

__all__ = [
    "ALIGNMENT",
    "COMPARED",
    "CONFIGURATIONS",
    "DEFAULT_ALIGNERS",
    "MEASURES",
    "MIN_INLIERS",
    "PAIRS",
    "PEERS",
    "Aligner",
    "AlignerFiles",
    "AlignmentComparison",
    "AlignmentRow",
    "AlignmentSummary",
    "Configuration",
    "Estimate",
    "align_and_score",
    "alignment_comparison_csv",
    "alignment_comparison_tables",
    "alignment_csv",
    "alignment_section",
    "alignment_tables",
    "begin_alignment",
    "choose_frames",
    "compare_aligners",
    "find_aligners",
    "frame_file",
    "of_most_frames",
    "picture_of",
    "plot_boxes",
    "plot_cumulative",
    "rank_frames",
    "score_frame",
    "summarise_alignment",
    "write_frames",
]
