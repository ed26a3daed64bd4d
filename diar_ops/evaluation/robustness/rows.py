"""Results of robustness as rows: one for each score."""

from __future__ import annotations

from typing import NamedTuple

from diar_ops.evaluation.record import Results
from diar_ops.evaluation.rows import RowKey

__all__ = ["ALIGNMENT_SCORES", "PICTURE_SCORES", "ROBUSTNESS", "RobustnessRow", "cell_key"]

#: What is said of a picture that a method made, see :data:`diar_ops.evaluation.SCORES`.
PICTURE_SCORES = ("psnr", "psnr_gain")
#: What is said of a method of alignment, as shares in [0, 1]: of the frames of the picture but
#: the reference, those that are off by less than so many pixels; of the foreign frames, where
#: there are any, those that are called aligned.
ALIGNMENT_SCORES = ("below_1", "below_3", "accepted_foreign")


class RobustnessRow(NamedTuple):
    """One score of one method on one sequence at one level of a factor.

    Attributes:
        factor: Of :data:`FACTORS`.
        level: How much of it was asked for, in [0, 1], or degrees.
        sequence: Its number.
        frames: How many it has.
        method: Of reconstruction or of alignment.
        measured: How much of the factor the frames have, see :data:`FACTORS`.
        score: Of :data:`PICTURE_SCORES` or :data:`ALIGNMENT_SCORES`.
        value: What it is.
    """

    factor: str
    level: float
    sequence: str
    frames: int
    method: str
    measured: float
    score: str
    value: float

    @property
    def key(self) -> RowKey:
        """What it belongs to, with the other scores of the method."""
        return cell_key(self.factor, self.level, self.sequence, self.frames, self.method)


def cell_key(factor: str, level: float, sequence: str, frames: int, method: str) -> RowKey:
    """Return the key of a method's scores on a sequence at a level."""
    return RowKey(f"{factor} {level:g}", sequence, frames, method)


ROBUSTNESS = Results(
    "diar_ops robustness",
    "robustness.csv",
    RobustnessRow,
    (
        "robustness.md", "robustness_summary.csv", "reconstruction.png", "reconstruction.svg",
        "alignment.png", "alignment.svg",
    ),
)  # fmt: skip
