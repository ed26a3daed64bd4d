"""Training of the networks that restore pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from diar_ops._errors import OptionError
from diar_ops._types import Restored, WholeFrames
from diar_ops.models import FaithfulDIAR
from diar_ops.models.weights.registry import RESTORERS
from diar_ops.textures import TextureSource
from diar_ops.training.curve import Line, Row, column, plot_curve
from diar_ops.training.network import build_network
from diar_ops.training.rendered import RenderedSequences
from diar_ops.training.restoration.config import RestorationConfig
from diar_ops.training.restoration.dataset import CyclesSource, RenderedSource, Source, TrainingSequences
from diar_ops.training.restoration.loss import common_light_loss, restoration_loss
from diar_ops.training.restoration.validation import SCORES, ValidationItem, score_network, validation_items
from diar_ops.training.task import Task


def initial_network(config: RestorationConfig) -> nn.Module:
    """Return the network that options ask for, with the weights that training begins with.

    Raises:
        OptionError: There is no such network or option of it.
        WeightsError: The file of the initial weights cannot be read, or is of another network.
    """
    if config.network not in RESTORERS:
        raise OptionError(f"--network must be one of {', '.join(RESTORERS)}, got {config.network}")
    return build_network(config.network, config)


def training_sequences(config: RestorationConfig) -> TrainingSequences:
    """Return the training items that options ask for.

    Raises:
        ImageError: A folder holds no pictures, or no aligned sequences.
        OptionError: There are fewer frames than asked for.
    """
    rendered = [(s, _held_out_count(len(s), config)) for s in _rendered_by_size(config)]
    sources: list[tuple[Source, float]] = []
    share = 1 - config.cycles_share if config.cycles else 1.0
    # As many as there are, unless shares are given.
    weights = config.size_shares or tuple(len(s) - first for s, first in rendered)
    for (sequences, first), weight in zip(rendered, weights, strict=True):
        sources.append((RenderedSource(sequences, first), share * weight / sum(weights)))
    if config.cycles:
        cycles = CyclesSource(config.cycles, frames=config.frames[1])
        sources.append((cycles, config.cycles_share if rendered else 1.0))
    return TrainingSequences(
        sources,
        frames=config.frames,
        favour=config.favour,
        crops=config.crops,
        whole=config.whole,
        ranges=config,
        bare=config.bare,
        seed=config.seed,
    )


def validation_sets(config: RestorationConfig) -> dict[str, list[ValidationItem]]:
    """Return the sequences to validate on, read into memory: held-out ones, and Cycles'.

    Raises:
        ImageError: A folder holds no aligned sequences.
    """
    sets: dict[str, list[ValidationItem]] = {}
    held_out = [s for s in _rendered_by_size(config) if _held_out_count(len(s), config)]
    if held_out and config.validate:
        # Of the first size, which is the one that crops are made for.
        count = min(config.validate, _held_out_count(len(held_out[0]), config))
        sets["rendered"] = validation_items(RenderedSource(held_out[0]), count)
    if config.validation:
        cycles = CyclesSource(config.validation, frames=config.pool_frames)
        sets["cycles"] = validation_items(cycles, len(cycles))
    return sets


def _rendered_by_size(config: RestorationConfig) -> list[RenderedSequences]:
    """Return the sequences of each size."""
    counts = config.sequences * (len(config.sizes) if len(config.sequences) == 1 else 1)
    textures = TextureSource(config.textures or None, procedural=config.procedural)
    return [
        RenderedSequences(
            config.pool,
            textures,
            count=count,
            frames=config.pool_frames,
            size=(side, side),
            seed=config.pool_seed,
            glass=config.glass,
        )
        for side, count in zip(config.sizes, counts, strict=True)
        if count
    ]


def _held_out_count(count: int, config: RestorationConfig) -> int:
    """Return how many of the first sequences are not trained on: more never move the first."""
    return min(count - 1, round(count * config.held_out))


class RestorationTask(Task):
    """Restore pictures from aligned frames; see :class:`Task`.

    ``forward(frames, valid, whole=...)`` of its network returns a :class:`Restored`, its data are
    :class:`TrainingSequences`, and it is validated on sets of :class:`ValidationItem`.
    """

    unit = "sequences"
    scores = SCORES
    config: RestorationConfig

    @classmethod
    def from_config(cls, config: RestorationConfig) -> RestorationTask:
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
        whole = WholeFrames(batch["whole_frames"], batch["whole_valid"], batch["window"])
        with self.config.autocast(batch["frames"].device):
            output = cast(Restored, network(batch["frames"], batch["valid"], whole=whole))
        loss = restoration_loss(output, batch, ssim_weight=self.config.ssim_weight)
        if isinstance(network, FaithfulDIAR) and self.config.bare:
            loss = loss + common_light_loss(network, batch["bare_light"])
        return loss

    def score(self, network: nn.Module, items: Sequence[ValidationItem], *, device: torch.device) -> Tensor:
        """Return the :data:`SCORES` of sequences, (items, 3) float64."""
        return score_network(network, items, device=device)

    def plot(self, path: Path, rows: Sequence[Row]) -> None:
        """Plot PSNR and loss."""
        lines = [
            Line(name.replace("_", " "), column(rows, name), "--" if name.endswith("_gain") else "-")
            for name in (rows[-1] if rows else ())
            if "_psnr" in name
        ]
        plot_curve(path, rows, lines, title=self.config.network, ylabel="PSNR [dB]")
