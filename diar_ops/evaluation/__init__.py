"""Compare methods on rendered sequences: who reconstructs the label how well from T frames."""

from diar_ops.evaluation.aligned import Aligned, lay_frames, load_aligned
from diar_ops.evaluation.complete import complete_results
from diar_ops.evaluation.disturbance import Disturbance, random_homography
from diar_ops.evaluation.exposure import compensate_exposure
from diar_ops.evaluation.methods import (
    CLASSICAL,
    DEFAULT_METHODS,
    EXPOSURE,
    Method,
    find_methods,
)
from diar_ops.evaluation.pictures import choose_sequences, write_pictures
from diar_ops.evaluation.plan import Plan
from diar_ops.evaluation.plots import plot_score
from diar_ops.evaluation.reconstruction import begin_reconstruction, score_sequence
from diar_ops.evaluation.record import (
    RECONSTRUCTION,
    RECORD,
    Results,
    continue_results,
    settings_record,
)
from diar_ops.evaluation.rows import Row, RowKey, read_rows, write_rows
from diar_ops.evaluation.run import Task, run_tasks
from diar_ops.evaluation.scores import SCORES, score_picture
from diar_ops.evaluation.summary import Lead, Mean, Summary, find_leads, mean_of, summarise
from diar_ops.evaluation.tables import leads_markdown, summary_csv, summary_markdown
from diar_ops.evaluation.timing import time_method

__all__ = [
    "CLASSICAL",
    "DEFAULT_METHODS",
    "EXPOSURE",
    "RECONSTRUCTION",
    "RECORD",
    "SCORES",
    "Aligned",
    "Disturbance",
    "Lead",
    "Mean",
    "Method",
    "Plan",
    "Results",
    "Row",
    "RowKey",
    "Summary",
    "Task",
    "begin_reconstruction",
    "choose_sequences",
    "compensate_exposure",
    "complete_results",
    "continue_results",
    "find_leads",
    "find_methods",
    "lay_frames",
    "leads_markdown",
    "load_aligned",
    "mean_of",
    "plot_score",
    "random_homography",
    "read_rows",
    "run_tasks",
    "score_picture",
    "score_sequence",
    "settings_record",
    "summarise",
    "summary_csv",
    "summary_markdown",
    "time_method",
    "write_pictures",
    "write_rows",
]
