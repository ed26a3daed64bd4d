"""From options to a network."""

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
from diar_ops.training.config import TrainConfig

__all__ = ["built_network", "initial_network"]


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
