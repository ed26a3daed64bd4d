"""The items of each step of a run."""

from __future__ import annotations

from collections.abc import Iterator

from torch.utils.data import Sampler

from diar_ops._checks import check_option


class StepSampler(Sampler[list[tuple[int, int]]]):
    """An endless stream of batches, as indices (step, position in the batch) of their items.

    Args:
        start: First step.
        batch: Items of a step, in all processes together.
        rank: Of this process, which has every ``world_size``-th item.
        world_size: Number of processes, a divisor of ``batch``.
    """

    def __init__(self, start: int, batch: int, *, rank: int = 0, world_size: int = 1) -> None:
        fits = batch % world_size == 0
        check_option("StepSampler", fits, f"a batch that {world_size} processes can share", batch)
        self.start, self.positions = start, range(rank, batch, world_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        step = self.start
        while True:
            yield [(step, position) for position in self.positions]
            step += 1
