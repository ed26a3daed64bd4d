"""Spoil photos more and more, one way at a time: how much do methods bear?"""

from benchmarks.quality.robustness.photos import Photos, choose_pictures, take_photos
from benchmarks.quality.robustness.plan import (
    ALIGNMENT_SCORES,
    FACTORS,
    PICTURE_SCORES,
    ROBUSTNESS,
    Factor,
    RobustnessPlan,
    RobustnessRow,
    RobustnessTask,
)
from benchmarks.quality.robustness.plots import plot_alignment, plot_reconstruction
from benchmarks.quality.robustness.report import (
    breaking_markdown,
    factor_markdown,
    robustness_csv,
    write_level_sheets,
    write_robustness,
)
from benchmarks.quality.robustness.score import (
    ALIGNED,
    ALIGNERS,
    RESTORERS,
    Compared,
    begin_robustness,
    find_compared,
    score_alignment,
    score_cell,
)
from benchmarks.quality.robustness.summary import (
    LOST,
    PLACED,
    BreakingPoint,
    LevelSummary,
    find_breaking_points,
    summarise_robustness,
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
