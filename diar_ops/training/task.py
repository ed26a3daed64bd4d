"""What a training run learns: the part of training that differs from network to network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from diar_ops.training.curve import Row
from diar_ops.training.options import RunConfig
from diar_ops.training.processes import Processes


class Items(Protocol):
    """Training items; each depends on seed, step and position in the batch alone."""

    @property
    def sequences(self) -> int:
        """Number of different sequences that they are made of."""
        ...

    def __getitem__(self, index: tuple[int, int]) -> dict[str, Tensor]:
        """Return the item of (step, position in the batch)."""
        ...


class Task(ABC):
    """A network, its training items, its loss, and how it is validated.

    Args:
        network: Its weights are those that a new run starts from.
        config: All options.
        data: The training items.
        validation: Items to validate on, by the name of their set, which begins the names of its
            scores; the set "" leaves them as they are.
    """

    #: What an item is; names the column of their number in the learning curve.
    unit: ClassVar[str]
    #: Names of the scores of a validation item.
    scores: ClassVar[tuple[str, ...]]

    def __init__(
        self, network: nn.Module, config: RunConfig, data: Items, validation: Mapping[str, Sequence[Any]]
    ) -> None:
        self.network, self.config = network, config
        self.data, self.validation = data, validation

    @abstractmethod
    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Return the loss of a batch, a scalar; network and batch are on one device."""

    @abstractmethod
    def score(self, network: nn.Module, items: Sequence[Any], *, device: torch.device) -> Tensor:
        """Return the :attr:`scores` of validation items, (items, scores) float64."""

    @abstractmethod
    def plot(self, path: Path, rows: Sequence[Row]) -> None:
        """Write the learning curve as PNG."""

    def mean_scores(self, network: nn.Module, processes: Processes, device: torch.device) -> dict[str, float]:
        """Return the mean of each score over each set, in all processes the same."""
        means = {}
        for name, items in self.validation.items():
            if not items:
                continue
            shard = slice(processes.rank, None, processes.world_size)
            table = torch.zeros(len(items), len(self.scores), dtype=torch.float64)
            table[shard] = self.score(network, items[shard], device=device)
            mean = processes.all_sum(table.to(device)).cpu().mean(dim=0)
            for score, value in zip(self.scores, mean.tolist(), strict=True):
                means[f"{name}_{score}" if name else score] = value
        return means

    def summary(self, scores: Mapping[str, float]) -> dict[str, float]:
        """Return what to report of the last scores at the end of a run, by name."""
        return {name.replace("_", " "): value for name, value in scores.items()}


class TaskLoss(nn.Module):
    """The loss of a task as a module, so that several processes see every use of a parameter."""

    def __init__(self, task: Task, network: nn.Module) -> None:
        super().__init__()
        self.task, self.network = task, network

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Return the loss of a batch."""
        return self.task.loss(self.network, batch)
