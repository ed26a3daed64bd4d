"""Spoil photos more and more, one way at a time: how much do methods bear?"""

from diar_ops.evaluation.robustness.factors import FACTORS, Factor
from diar_ops.evaluation.robustness.methods import (
    ALIGNED,
    ALIGNERS,
    RESTORERS,
    Compared,
    find_compared,
)
from diar_ops.evaluation.robustness.photos import Photos, choose_pictures, take_photos
from diar_ops.evaluation.robustness.pictures import write_level_sheets
from diar_ops.evaluation.robustness.plan import RobustnessPlan, RobustnessTask
from diar_ops.evaluation.robustness.plots import plot_alignment, plot_reconstruction
from diar_ops.evaluation.robustness.report import write_robustness
from diar_ops.evaluation.robustness.rows import (
    ALIGNMENT_SCORES,
    PICTURE_SCORES,
    ROBUSTNESS,
    RobustnessRow,
)
from diar_ops.evaluation.robustness.score import begin_robustness, score_alignment, score_cell
from diar_ops.evaluation.robustness.summary import (
    LOST,
    PLACED,
    BreakingPoint,
    LevelSummary,
    find_breaking_points,
    summarise_robustness,
)
from diar_ops.evaluation.robustness.tables import (
    breaking_markdown,
    factor_markdown,
    robustness_csv,
)

__all__ = [
    "ALIGNED",
    "ALIGNERS",
    "ALIGNMENT_SCORES",
    "FACTORS",
    "LOST",
    "PICTURE_SCORES",
    "PLACED",
    "RESTORERS",
    "ROBUSTNESS",
    "BreakingPoint",
    "Compared",
    "Factor",
    "LevelSummary",
    "Photos",
    "RobustnessPlan",
    "RobustnessRow",
    "RobustnessTask",
    "begin_robustness",
    "breaking_markdown",
    "choose_pictures",
    "factor_markdown",
    "find_breaking_points",
    "find_compared",
    "plot_alignment",
    "plot_reconstruction",
    "robustness_csv",
    "score_alignment",
    "score_cell",
    "summarise_robustness",
    "take_photos",
    "write_level_sheets",
    "write_robustness",
]
