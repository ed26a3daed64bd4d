"""Which results there are to compute: factors, levels, sequences, methods."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from diar_ops._errors import OptionError
from diar_ops.evaluation.robustness.factors import FACTORS
from diar_ops.evaluation.robustness.rows import cell_key
from diar_ops.evaluation.rows import RowKey

__all__ = ["RobustnessPlan", "RobustnessTask"]


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
                factor, level, sequence, frames,
                tuple(cell_key(factor, level, str(sequence), frames, m) for m in methods),
            )
            for sequence in range(sequences)
            for factor in dict.fromkeys(factors)
            for level in FACTORS[factor].levels
        ]  # fmt: skip
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
