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
from diar_ops.evaluation.alignment.pictures import picture_of, worst_frames, write_worst
from diar_ops.evaluation.alignment.plots import plot_boxes, plot_cumulative
from diar_ops.evaluation.alignment.report import write_alignment
from diar_ops.evaluation.alignment.rows import ALIGNMENT, AlignmentRow, score_frame
from diar_ops.evaluation.alignment.score import align_and_score, begin_alignment
from diar_ops.evaluation.alignment.summary import (
    MEASURES,
    AlignmentSummary,
    summarise_alignment,
)
from diar_ops.evaluation.alignment.tables import alignment_csv, alignment_markdown

__all__ = [
    "ALIGNMENT",
    "CONFIGURATIONS",
    "DEFAULT_ALIGNERS",
    "MEASURES",
    "MIN_INLIERS",
    "PAIRS",
    "PEERS",
    "Aligner",
    "AlignerFiles",
    "AlignmentRow",
    "AlignmentSummary",
    "Configuration",
    "Estimate",
    "align_and_score",
    "alignment_csv",
    "alignment_markdown",
    "begin_alignment",
    "find_aligners",
    "picture_of",
    "plot_boxes",
    "plot_cumulative",
    "score_frame",
    "summarise_alignment",
    "worst_frames",
    "write_alignment",
    "write_worst",
]
