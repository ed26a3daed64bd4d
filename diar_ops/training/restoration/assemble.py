"""From options to data."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import nn

from diar_ops._errors import OptionError, WeightsError
from diar_ops._seeds import generator_for
from diar_ops.models import load_pretrained
from diar_ops.models.weights.registry import NETWORKS, RESTORERS
from diar_ops.textures import TextureSource
from diar_ops.training.pool import RenderedSequences
from diar_ops.training.restoration.config import TrainConfig
from diar_ops.training.restoration.dataset import (
    CyclesSource,
    RenderedSource,
    Source,
    TrainingSequences,
)
from diar_ops.training.restoration.validation import ValidationItem, validation_items

__all__ = ["built_network", "initial_network", "training_sequences", "validation_sets"]


def training_sequences(config: TrainConfig) -> TrainingSequences:
    """Return the training items that options ask for.

    Raises:
        ImageError: A folder holds no pictures, or no aligned sequences.
        OptionError: There are fewer frames than asked for.
    """
    rendered = [(s, _held_out(len(s), config)) for s in _rendered(config)]
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
        ranges=config.augmentation(),
        bare=config.bare,
        seed=config.seed,
    )


def validation_sets(config: TrainConfig) -> dict[str, list[ValidationItem]]:
    """Return the sequences to validate on, read into memory: held-out ones, and Cycles'.

    Raises:
        ImageError: A folder holds no aligned sequences.
    """
    sets: dict[str, list[ValidationItem]] = {}
    held_out = [s for s in _rendered(config) if _held_out(len(s), config)]
    if held_out and config.validate:
        # Of the first size, which is the one that crops are made for.
        count = min(config.validate, _held_out(len(held_out[0]), config))
        sets["rendered"] = validation_items(RenderedSource(held_out[0]), count)
    if config.validation:
        cycles = CyclesSource(config.validation, frames=config.pool_frames)
        sets["cycles"] = validation_items(cycles, len(cycles))
    return sets


def _rendered(config: TrainConfig) -> list[RenderedSequences]:
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


def _held_out(count: int, config: TrainConfig) -> int:
    """Return how many of the first sequences are not trained on: more never move the first."""
    return min(count - 1, round(count * config.held_out))


def initial_network(config: TrainConfig) -> nn.Module:
    """Return the network that options ask for, with the weights that training begins with.

    Raises:
        OptionError: There is no such network or option of it.
        WeightsError: The file of the initial weights cannot be read, or is of another network.
    """
    if config.network not in RESTORERS:
        raise OptionError(f"--network must be one of {', '.join(RESTORERS)}, got {config.network}")
    return built_network(config.network, config.options, config.initial, seed=config.seed)


def built_network(name: str, words: Sequence[str], initial: str | None, *, seed: int) -> nn.Module:
    """Return a registered network with the weights of a file, or those of a seed.

    Args:
        name: Of the network.
        words: Options of it, as ``NAME=VALUE``.
        initial: The file.
        seed: Of the weights otherwise.

    Raises:
        OptionError: The network has no such option.
        WeightsError: The file cannot be read, or is of another network.
    """
    kind = NETWORKS[name]
    known = [f.name for f in fields(kind.config)]
    options: dict[str, Any] = {}
    for word in words:
        key, _, value = word.partition("=")
        if key not in known or not value:
            raise OptionError(
                f"--options of {name} are NAME=VALUE with a name among "
                f"{', '.join(known)}, got {word}"
            )
        options[key] = _value(value)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator_for(seed, "weights").initial_seed())
        network: nn.Module = kind.network(kind.config(**options))
    if initial is not None:
        try:
            network.load_state_dict(load_pretrained(initial).state_dict())
        except RuntimeError as error:
            raise WeightsError(
                f"{initial} holds the weights of another network than {name} with these options"
            ) from error
    return network


def _value(words: str) -> Any:
    """Return a number, tuple or None that words stand for, or the words."""
    try:
        return ast.literal_eval(words)
    except (ValueError, SyntaxError):
        return words
