"""Plans: which results to compute of factors, levels, sequences and methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.quality.plan import Plan, Task
from benchmarks.quality.robustness.factors import FACTORS
from benchmarks.quality.rows import Results, RowKey
from diar_ops._errors import OptionError

#: What is measured of a picture that a method made, see :data:`SCORES`.
PICTURE_SCORES = ("psnr", "psnr_gain")
#: What is measured of a method of alignment, as shares in [0, 1]: of the frames of the picture but
#: the reference, those that are off by less than so many pixels; of the foreign frames, where
#: there are any, those that are called aligned.
ALIGNMENT_SCORES = ("below_1", "below_3", "accepted_foreign")


def set_name(factor: str, level: float) -> str:
    """Return what the set of a factor's level is called in keys."""
    return f"{factor} {level:g}"


#: One score of one method on one sequence at one level of a factor. ``level``: how much of it was
#: asked for, in [0, 1], or degrees; ``measured``: how much of it the frames have; ``score``: of
#: :data:`PICTURE_SCORES` or :data:`ALIGNMENT_SCORES`; ``value``: what it is.
ROBUSTNESS = Results(
    "diar_ops robustness",
    "robustness.csv",
    {
        "factor": str,
        "level": float,
        "sequence": str,
        "frames": int,
        "method": str,
        "measured": float,
        "score": str,
        "value": float,
    },
    (
        "robustness.md",
        "robustness_summary.csv",
        "reconstruction.png",
        "reconstruction.svg",
        "alignment.png",
        "alignment.svg",
    ),
    lambda cells: set_name(cells["factor"], cells["level"]),
)


class Cell(NamedTuple):
    """One sequence at one level of a factor.

    Attributes:
        factor: Of :data:`FACTORS`.
        level: Of its levels.
        sequence: Number of the sequence.
        frames: How many it has.
    """

    factor: str
    level: float
    sequence: int
    frames: int


def plan_levels(factors: Sequence[str], methods: Sequence[str], sequences: int, frames: int) -> Plan[Cell]:
    """Return all results of some factors and methods, sequence by sequence.

    Args:
        factors: Of :data:`FACTORS`.
        methods: Names of methods of reconstruction and of alignment.
        sequences: How many.
        frames: How many each has.

    Raises:
        OptionError: A factor is unknown, a number is too small, or there is nothing to do.
    """
    for name in factors:
        if name not in FACTORS:
            raise OptionError(f"unknown factor {name}: expected some of {', '.join(FACTORS)}")
    for option, least, value in (("sequences", 1, sequences), ("frames", 2, frames)):
        if value < least:
            raise OptionError(f"{option} must be {least} or more, got {value}")
    if not (factors and methods):
        raise OptionError("there is nothing to do: name factors and methods")
    tasks = []
    for sequence in range(sequences):
        for factor in dict.fromkeys(factors):
            for level in FACTORS[factor].levels:
                name = set_name(factor, level)
                keys = tuple(RowKey(name, str(sequence), frames, method) for method in methods)
                tasks.append(Task(Cell(factor, level, sequence, frames), keys))
    # Each sequence shows a picture of its own.
    return Plan(tasks, {})
