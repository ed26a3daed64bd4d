"""The data that options ask for."""

from __future__ import annotations

from diar_ops.textures import TextureSource
from diar_ops.training.rendered import RenderedSequences
from diar_ops.training.restoration.config import TrainConfig
from diar_ops.training.restoration.dataset import (
    CyclesSource,
    RenderedSource,
    Source,
    TrainingSequences,
)
from diar_ops.training.restoration.validation import ValidationItem, validation_items

__all__ = ["training_sequences", "validation_sets"]


def training_sequences(config: TrainConfig) -> TrainingSequences:
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


def validation_sets(config: TrainConfig) -> dict[str, list[ValidationItem]]:
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


def _rendered_by_size(config: TrainConfig) -> list[RenderedSequences]:
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
        )
        for side, count in zip(config.sizes, counts, strict=True)
        if count
    ]


def _held_out_count(count: int, config: TrainConfig) -> int:
    """Return how many of the first sequences are not trained on: more never move the first."""
    return min(count - 1, round(count * config.held_out))
