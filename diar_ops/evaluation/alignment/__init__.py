"""Compare methods of alignment on the same frames: who lays them over the reference how well."""

from diar_ops.evaluation.alignment.aligners import (
    DEFAULT_ALIGNERS,
    PEERS,
    AlignerFiles,
    find_aligners,
)
from diar_ops.evaluation.alignment.configurations import CONFIGURATIONS, Configuration
from diar_ops.evaluation.alignment.estimate import Aligner, Estimate
from diar_ops.evaluation.alignment.pairwise import MIN_INLIERS, PAIRS
from diar_ops.evaluation.alignment.pictures import (
    choose_frames,
    frame_file,
    picture_of,
    rank_frames,
    write_frames,
)
from diar_ops.evaluation.alignment.plots import plot_boxes, plot_cumulative
from diar_ops.evaluation.alignment.report import alignment_section
from diar_ops.evaluation.alignment.rows import ALIGNMENT, AlignmentRow, of_most_frames, score_frame
from diar_ops.evaluation.alignment.score import align_and_score, begin_alignment
from diar_ops.evaluation.alignment.summary import (
    COMPARED,
    MEASURES,
    AlignmentComparison,
    AlignmentSummary,
    compare_aligners,
    summarise_alignment,
)
from diar_ops.evaluation.alignment.tables import (
    alignment_comparison_csv,
    alignment_comparison_tables,
    alignment_csv,
    alignment_tables,
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
