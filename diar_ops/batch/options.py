"""What is asked of an archive, beside how each of its pictures is made."""

from __future__ import annotations

from dataclasses import dataclass

from diar_ops._errors import OptionError
from diar_ops._options import option
from diar_ops.engines import ENGINES, Engine, select_engine


@dataclass(frozen=True)
class BatchOptions:
    """How an archive is worked through: each field carries the help of whatever offers it.

    Attributes:
        group: Whether all photos are one heap, to be sorted into sequences: see
            :func:`group_photos`. Otherwise each folder is one sequence.
        gap: Seconds between two photos that end a sequence, in a heap.
        dry_run: Whether only to tell what would be cleaned.
        engine: Where to work: a name of :func:`select_engine`.
        workers: Sequences side by side, one core each; None for as many as there are cores.
        ray_address: Of the Ray cluster.
        retries: How often a sequence is tried again whose worker died.

    Raises:
        OptionError: A number is out of range.
    """

    group: bool = option(
        False, "all photos below the folder are one heap: sort them into sequences by their time and what they show"
    )
    gap: float = option(300.0, "with --group: so long between two photos, another sequence begins", "SECONDS")
    dry_run: bool = option(False, "only tell which sequences there are, and what would be done")
    engine: str = option("local", "where to work: local, this machine, or ray, a cluster", choices=ENGINES)
    workers: int | None = option(None, "sequences side by side, one core each (default: all cores)")
    ray_address: str | None = option(
        None, "of the cluster (default: that of RAY_ADDRESS, or one of this machine alone)", "ADDRESS"
    )
    retries: int = option(2, "how often a sequence is tried again whose worker died")

    def __post_init__(self) -> None:
        if not self.gap > 0:
            raise OptionError(f"`gap` must be above 0, got {self.gap}")
        if self.retries < 0:
            raise OptionError(f"`retries` must be 0 or more, got {self.retries}")

    def select_engine(self) -> Engine:
        """Return the engine."""
        # A sequence that kills its worker must not end the batch, even where there is one worker.
        return select_engine(self.engine, workers=self.workers, address=self.ray_address, isolated=True)
