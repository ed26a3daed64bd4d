"""Compare methods on rendered sequences: who reconstructs the label how well from T frames."""

from diar_ops.evaluation.aligned import Aligned, lay_frames, load_aligned
from diar_ops.evaluation.cases import (
    Case,
    case_picture,
    choose_cases,
    picture_file,
    rank_cases,
    write_cases,
)
from diar_ops.evaluation.comparison import (
    Comparison,
    Difference,
    compare_alignments,
    compare_methods,
)
from diar_ops.evaluation.complete import complete_results
from diar_ops.evaluation.disturbance import Disturbance, random_homography
from diar_ops.evaluation.exposure import compensate_exposure
from diar_ops.evaluation.lpips import LpipsFiles, load_lpips, lpips_digest, lpips_distance
from diar_ops.evaluation.methods import (
    CLASSICAL,
    DEFAULT,
    DEFAULT_METHODS,
    EXPOSURE,
    Method,
    find_methods,
)
from diar_ops.evaluation.plan import Plan, name_sets, unaligned_sets
from diar_ops.evaluation.plots import plot_score, plot_score_boxes
from diar_ops.evaluation.reconstruction import begin_reconstruction, score_sequence
from diar_ops.evaluation.record import (
    PERCEPTUAL,
    PICTURES,
    RECONSTRUCTION,
    RECORD,
    Results,
    continue_results,
    keep_pictures,
    kept_pictures,
    kept_results,
    kept_scores,
    settings_record,
)
from diar_ops.evaluation.report import (
    Block,
    CasePicture,
    Section,
    render_evaluation,
    section_markdown,
)
from diar_ops.evaluation.rows import (
    Keyed,
    PerceptualRow,
    Row,
    RowKey,
    Scored,
    read_rows,
    write_rows,
)
from diar_ops.evaluation.run import Task, run_tasks
from diar_ops.evaluation.scores import SCORES, score_picture
from diar_ops.evaluation.sections import (
    alignment_costs_section,
    describe_rows,
    score_section,
    training_section,
)
from diar_ops.evaluation.summary import Mean, Pictures, Summary, mean_of, summarise
from diar_ops.evaluation.tables import (
    Table,
    comparison_csv,
    comparison_tables,
    summary_csv,
    summary_tables,
    tables_markdown,
)
from diar_ops.evaluation.timing import TIMED, time_method, time_methods
from diar_ops.evaluation.training import plot_curves, training_table
from diar_ops.training.curve import read_curve, read_curves

__all__ = [
    "CLASSICAL",
    "DEFAULT",
    "DEFAULT_METHODS",
    "EXPOSURE",
    "PERCEPTUAL",
    "PICTURES",
    "RECONSTRUCTION",
    "RECORD",
    "SCORES",
    "TIMED",
    "Aligned",
    "Block",
    "Case",
    "CasePicture",
    "Comparison",
    "Difference",
    "Disturbance",
    "Keyed",
    "LpipsFiles",
    "Mean",
    "Method",
    "PerceptualRow",
    "Pictures",
    "Plan",
    "Results",
    "Row",
    "RowKey",
    "Scored",
    "Section",
    "Summary",
    "Table",
    "Task",
    "alignment_costs_section",
    "begin_reconstruction",
    "case_picture",
    "choose_cases",
    "compare_alignments",
    "compare_methods",
    "comparison_csv",
    "comparison_tables",
    "compensate_exposure",
    "complete_results",
    "continue_results",
    "describe_rows",
    "find_methods",
    "keep_pictures",
    "kept_pictures",
    "kept_results",
    "kept_scores",
    "lay_frames",
    "load_aligned",
    "load_lpips",
    "lpips_digest",
    "lpips_distance",
    "mean_of",
    "name_sets",
    "picture_file",
    "plot_curves",
    "plot_score",
    "plot_score_boxes",
    "random_homography",
    "rank_cases",
    "read_curve",
    "read_curves",
    "read_rows",
    "render_evaluation",
    "run_tasks",
    "score_picture",
    "score_section",
    "score_sequence",
    "section_markdown",
    "settings_record",
    "summarise",
    "summary_csv",
    "summary_tables",
    "tables_markdown",
    "time_method",
    "time_methods",
    "training_section",
    "training_table",
    "unaligned_sets",
    "write_cases",
    "write_rows",
]
