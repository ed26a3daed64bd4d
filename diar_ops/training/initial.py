"""From options to a network."""

from __future__ import annotations

import ast
from dataclasses import fields
from typing import Any

import torch
from torch import nn

from diar_ops._errors import OptionError, WeightsError
from diar_ops.data.seeds import generator_for
from diar_ops.models import load_pretrained
from diar_ops.models.registry import NETWORKS
from diar_ops.training.config import TrainConfig

__all__ = ["initial_network"]


def initial_network(config: TrainConfig) -> nn.Module:
    """Return the network that options ask for, with the weights that training begins with.

    Raises:
        OptionError: There is no such network or option of it.
        WeightsError: The file of the initial weights cannot be read, or is of another network.
    """
    if config.network not in NETWORKS:
        raise OptionError(f"--network must be one of {', '.join(NETWORKS)}, got {config.network}")
    kind = NETWORKS[config.network]
    known = [f.name for f in fields(kind.config)]
    options: dict[str, Any] = {}
    for words in config.options:
        name, _, value = words.partition("=")
        if name not in known or not value:
            raise OptionError(
                f"--options of {config.network} are NAME=VALUE with a name among "
                f"{', '.join(known)}, got {words}"
            )
        options[name] = _value(value)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator_for(config.seed, "weights").initial_seed())
        network: nn.Module = kind.network(kind.config(**options))
    if config.initial is not None:
        try:
            network.load_state_dict(load_pretrained(config.initial).state_dict())
        except RuntimeError as error:
            raise WeightsError(
                f"{config.initial} holds the weights of another network than {config.network} "
                f"with these options"
            ) from error
    return network


def _value(words: str) -> Any:
    """Return a number, tuple or None that words stand for, or the words."""
    try:
        return ast.literal_eval(words)
    except (ValueError, SyntaxError):
        return words
