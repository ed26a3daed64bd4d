"""Training by turns: all runs have about equally many steps at any time, and share their items."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from benchmarks.quality.paper_order.plan import NETWORKS
from diar_ops.models import save_pretrained
from diar_ops.training import Items, RestorationConfig, RestorationTask, Trainer
from diar_ops.training.restoration.task import initial_network, training_sequences, validation_sets

#: Steps of a turn. Their items are kept in memory until every network has seen them.
TURN = 200

#: Returns the options of (network, seed).
Options = Callable[[str, int], RestorationConfig]


class SharedItems:
    """Training items that are made once for all networks of a seed, and then kept.

    Args:
        items: What makes them.

    Attributes:
        seconds: Spent on making them.
    """

    def __init__(self, items: Items) -> None:
        self.items = items
        self.seconds = 0.0
        self._kept: dict[tuple[int, int], dict[str, Tensor]] = {}

    @property
    def sequences(self) -> int:
        """Number of different sequences that they are made of."""
        return self.items.sequences

    def __getitem__(self, index: tuple[int, int]) -> dict[str, Tensor]:
        if index not in self._kept:
            began = time.perf_counter()
            self._kept[index] = self.items[index]
            self.seconds += time.perf_counter() - began
        return self._kept[index]

    def forget(self) -> None:
        """Keep none of them any longer."""
        self._kept.clear()


def run_folder(out: Path, network: str, seed: int) -> Path:
    """Return the folder of a run."""
    return out / f"{network}-{seed}"


def weights_file(out: Path, network: str, seed: int) -> Path:
    """Return where a run keeps its averaged weights."""
    return run_folder(out, network, seed) / f"{NETWORKS[network][0]}.safetensors"


def train_by_turns(out: Path, options: Options, *, networks: Sequence[str], seeds: Sequence[int]) -> bool:
    """Train every network of every seed, a turn each, until all are done or a signal comes.

    Killed at any moment, the same call goes on where each run was, bit for bit.

    Args:
        out: Folder of the runs.
        options: Those of each run.
        networks: Names of :data:`NETWORKS`.
        seeds: Of the runs.

    Returns:
        Whether all of them are done.

    Raises:
        DiarError: As :class:`Trainer`.
    """
    # Items of a seed are the same whatever the network.
    items = {seed: SharedItems(training_sequences(options(networks[0], seed))) for seed in seeds}
    validation = validation_sets(options(networks[0], seeds[0]))
    trainers = {
        (seed, network): _trainer(out, network, options(network, seed), items[seed], validation)
        for seed in seeds
        for network in networks
    }
    steps = max(trainer.total_steps or 0 for trainer in trainers.values())
    for turn in range(TURN, steps + TURN, TURN):
        until = min(turn, steps)
        for seed in seeds:
            for network in networks:
                trainer = trainers[seed, network]
                if trainer.state.step < until and not _take_turn(trainer, until, network, items[seed]):
                    return False
            items[seed].forget()
    return True


def _trainer(
    out: Path, network: str, config: RestorationConfig, items: Items, validation: Mapping[str, Sequence[object]]
) -> Trainer:
    def export(mean: nn.Module, facts: dict[str, str]) -> None:
        save_pretrained(mean, weights_file(out, network, config.seed), metadata=facts, overwrite=True)

    task = RestorationTask(initial_network(config), config, items, validation)
    return Trainer(task, run_folder(out, network, config.seed), device="cpu", export=export)


def _take_turn(trainer: Trainer, until: int, network: str, items: SharedItems) -> bool:
    """Train to a step and say how long it took; return whether it was reached."""
    step, seconds, making = trainer.state.step, trainer.state.seconds, items.seconds
    used = time.process_time()
    # At the last step the run ends, with a validation; before it, it pauses.
    trainer.run(until=None if until == trainer.total_steps else until)
    steps = trainer.state.step - step
    if steps:
        wall, made = (trainer.state.seconds - seconds) / steps, (items.seconds - making) / steps
        scores = "".join(f", {name} {value:.3f}" for name, value in trainer.scores.items())
        print(
            f"{time.strftime('%m-%d %H:%M:%S')} {network} seed {trainer.config.seed}: step {trainer.state.step}, "
            f"{wall:.3f} s a step, {made:.3f} of them for items, "
            f"{(time.process_time() - used) / steps:.3f} of a core in all{scores}",
            file=sys.stderr,
            flush=True,
        )
    return trainer.state.step >= until
