"""Which items the steps of a run take."""

from __future__ import annotations

from collections.abc import Iterator

from torch.utils.data import Sampler

from diar_ops._checks import check_option

__all__ = ["StepSampler"]


class StepSampler(Sampler[list[tuple[int, int]]]):
    """The indices (step, place) of the items of batches, from a step on, without end.

    Args:
        start: First step.
        batch: Items of a step, in all processes together.
        rank: Of this process, which has every ``processes``-th item.
        processes: Number of processes, a divisor of ``batch``.
    """

    def __init__(self, start: int, batch: int, *, rank: int = 0, processes: int = 1) -> None:
        fits = batch % processes == 0
        check_option("StepSampler", fits, f"a batch that {processes} processes can share", batch)
        self.start, self.places = start, range(rank, batch, processes)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        step = self.start
        while True:
            yield [(step, place) for place in self.places]
            step += 1
