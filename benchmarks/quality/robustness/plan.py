"""Which results there are to compute: factors, levels, sequences, methods."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from benchmarks.quality.record import Results
from benchmarks.quality.rows import RowKey
from diar_ops._errors import OptionError

__all__ = [
    "ALIGNMENT_SCORES",
    "FACTORS",
    "PICTURE_SCORES",
    "ROBUSTNESS",
    "Factor",
    "RobustnessPlan",
    "RobustnessRow",
    "RobustnessTask",
    "cell_key",
]


class RobustnessTask(NamedTuple):
    """What is to be computed of one sequence at one level of a factor.

    Attributes:
        factor: Of :data:`FACTORS`.
        level: Of its levels.
        sequence: Number of the sequence.
        frames: How many it has.
        wanted: Results of it, at least one.
    """

    factor: str
    level: float
    sequence: int
    frames: int
    wanted: tuple[RowKey, ...]


class RobustnessPlan:
    """All results of some factors and methods, sequence by sequence.

    Args:
        factors: Of :data:`FACTORS`.
        methods: Names of methods of reconstruction and of alignment.
        sequences: How many.
        frames: How many each has.

    Attributes:
        keys: All results.
        pictures: None are known: each sequence shows one of its own.

    Raises:
        OptionError: A factor is unknown, a number is too small, or there is nothing to do.
    """

    def __init__(
        self, factors: Sequence[str], methods: Sequence[str], sequences: int, frames: int
    ) -> None:
        for name in factors:
            if name not in FACTORS:
                raise OptionError(f"unknown factor {name}: expected some of {', '.join(FACTORS)}")
        for option, least, value in (("sequences", 1, sequences), ("frames", 2, frames)):
            if value < least:
                raise OptionError(f"{option} must be {least} or more, got {value}")
        self._tasks = [
            RobustnessTask(
                factor,
                level,
                sequence,
                frames,
                tuple(cell_key(factor, level, str(sequence), frames, m) for m in methods),
            )
            for sequence in range(sequences)
            for factor in dict.fromkeys(factors)
            for level in FACTORS[factor].levels
        ]
        self.pictures: dict[tuple[str, str], str] = {}
        self.keys = [key for task in self._tasks for key in task.wanted]
        if not self.keys:
            raise OptionError("there is nothing to do: name factors and methods")

    def tasks(self, done: Collection[RowKey]) -> Iterator[RobustnessTask]:
        """Yield what is still to be computed, sequence by sequence."""
        for task in self._tasks:
            wanted = tuple(key for key in task.wanted if key not in done)
            if wanted:
                yield task._replace(wanted=wanted)


class Factor(NamedTuple):
    """Something that grows while all else stays as it is.

    Attributes:
        words: What is measured, without its unit.
        unit: How people write it.
        scale: Levels in this unit are so many times the numbers that rows hold.
        levels: What is asked for, beginning with none of it.
        what: How it is done, in one sentence.
    """

    words: str
    unit: str
    scale: float
    levels: tuple[float, ...]
    what: str

    def format(self, level: float, digits: int = 0) -> str:
        """Return a level with its unit."""
        return f"{level * self.scale:.{digits}f}{self.unit}"


FACTORS = {
    "occluded": Factor(
        "pixels covered",
        " %",
        100,
        (0.0, 0.15, 0.3, 0.45, 0.6, 0.75),
        "Three things in front of every frame grow; they throw no shadows.",
    ),
    "saturated": Factor(
        "pixels saturated",
        " %",
        100,
        (0.0, 0.15, 0.3, 0.45, 0.6, 0.75),
        "In every frame the glass before the picture mirrors a window, each time somewhere else, "
        "which grows; saturated is what has a channel of 254 of 255 or more.",
    ),
    "shadow": Factor(
        "light lost in shadows",
        " %",
        100,
        (0.0, 0.25, 0.5, 0.75, 1.0),
        "Two things beside the view of every frame let through less and less of the light; what "
        "is lost is measured where they take more than 40 % of it when they let none through.",
    ),
    "noise": Factor(
        "noise",
        " %",
        100,
        (0.0, 0.03, 0.06, 0.12, 0.25, 0.5),
        "The sensor's noise grows: asked for is its standard deviation at saturation, measured "
        "the root mean square of what it changes in the stored photo, as a share of white.",
    ),
    "tilt": Factor(
        "tilt",
        "°",
        1,
        (0.0, 20.0, 40.0, 55.0, 70.0),
        "All cameras but the first tilt away from the picture's normal, each its own way.",
    ),
    "foreign": Factor(
        "photos of another picture",
        " %",
        100,
        (0.0, 0.125, 0.25, 0.375, 0.5),
        "More and more frames, never the first, show another picture, all the same one; for the "
        "exact alignment that lies over the label, corner on corner.",
    ),
}


#: What is said of a picture that a method made, see :data:`benchmarks.quality.SCORES`.
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
        "robustness.md",
        "robustness_summary.csv",
        "reconstruction.png",
        "reconstruction.svg",
        "alignment.png",
        "alignment.svg",
    ),
)
