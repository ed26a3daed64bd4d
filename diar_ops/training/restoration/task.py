"""Training of the networks that restore pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from diar_ops._errors import OptionError
from diar_ops._types import Restored, Whole
from diar_ops.models import FaithfulDIAR
from diar_ops.models.weights.registry import RESTORERS
from diar_ops.training.curve import Line, Row, column, plot_curve
from diar_ops.training.network import build_network
from diar_ops.training.restoration.assemble import training_sequences, validation_sets
from diar_ops.training.restoration.config import TrainConfig
from diar_ops.training.restoration.dataset import TrainingSequences
from diar_ops.training.restoration.loss import common_light_loss, restoration_loss
from diar_ops.training.restoration.validation import SCORES, ValidationItem, score_network
from diar_ops.training.task import Task

__all__ = ["RestorationTask", "initial_network"]


def initial_network(config: TrainConfig) -> nn.Module:
    """Return the network that options ask for, with the weights that training begins with.

    Raises:
        OptionError: There is no such network or option of it.
        WeightsError: The file of the initial weights cannot be read, or is of another network.
    """
    if config.network not in RESTORERS:
        raise OptionError(f"--network must be one of {', '.join(RESTORERS)}, got {config.network}")
    return build_network(config.network, config)


class RestorationTask(Task):
    """Restore pictures from aligned frames; see :class:`Task`.

    Args:
        network: ``forward(frames, valid, whole=...)`` returns a :class:`Restored`.
        config: All options.
        data: The training items.
        validation: Sequences to validate on, by the name of their set.
    """

    unit = "sequences"
    scores = SCORES
    config: TrainConfig

    def __init__(
        self,
        network: nn.Module,
        config: TrainConfig,
        data: TrainingSequences,
        validation: Mapping[str, Sequence[ValidationItem]],
    ) -> None:
        super().__init__(network, config, data, validation)

    @classmethod
    def from_config(cls, config: TrainConfig) -> RestorationTask:
        """Return the task that options ask for.

        Raises:
            OptionError: There is no such network, or there are fewer frames than asked for.
            WeightsError: The initial weights cannot be read, or are of another network.
            ImageError: A folder holds no pictures, or no aligned sequences.
        """
        network = initial_network(config)
        return cls(network, config, training_sequences(config), validation_sets(config))

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Return the loss of a batch of :class:`TrainingSequences`."""
        whole = Whole(batch["whole_frames"], batch["whole_valid"], batch["window"])
        with self.config.autocast(batch["frames"].device):
            output = cast(Restored, network(batch["frames"], batch["valid"], whole=whole))
        loss = restoration_loss(output, batch, ssim_weight=self.config.ssim_weight)
        if isinstance(network, FaithfulDIAR) and self.config.bare:
            loss = loss + common_light_loss(network, batch["bare_light"])
        return loss

    def score(
        self, network: nn.Module, items: Sequence[ValidationItem], *, device: torch.device
    ) -> Tensor:
        """Return the :data:`SCORES` of sequences, (items, 3) float64."""
        return score_network(network, items, device=device)

    def plot(self, path: Path, rows: Sequence[Row]) -> None:
        """Plot PSNR and loss."""
        lines = [
            Line(
                name.replace("_", " "), column(rows, name), "--" if name.endswith("_gain") else "-"
            )
            for name in (rows[-1] if rows else ())
            if "_psnr" in name
        ]
        plot_curve(path, rows, lines, title=self.config.network, ylabel="PSNR [dB]")
