"""The network that a run starts from."""

from __future__ import annotations

import ast
from dataclasses import fields
from typing import Any

import torch
from torch import nn

from diar_ops._errors import OptionError, WeightsError
from diar_ops._seeds import generator_for
from diar_ops.models import load_pretrained
from diar_ops.models.weights.registry import NETWORKS
from diar_ops.training.options import RunConfig


def build_network(name: str, config: RunConfig) -> nn.Module:
    """Return a registered network with the weights of a file, or those of a seed.

    Args:
        name: Name of the network's class.
        config: Its ``options`` as ``NAME=VALUE``, the file ``initial`` of weights, and the
            ``seed`` of the weights otherwise.

    Raises:
        OptionError: The network has no such option.
        WeightsError: The file cannot be read, or is of another network.
    """
    registered = NETWORKS[name]
    known = [f.name for f in fields(registered.config)]
    options: dict[str, Any] = {}
    for word in config.options:
        key, _, value = word.partition("=")
        if key not in known or not value:
            raise OptionError(f"--options of {name} are NAME=VALUE with a name among {', '.join(known)}, got {word}")
        options[key] = _parse_value(value)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator_for(config.seed, "weights").initial_seed())
        network: nn.Module = registered.network(registered.config(**options))
    if config.initial is not None:
        try:
            network.load_state_dict(load_pretrained(config.initial).state_dict())
        except RuntimeError as error:
            raise WeightsError(
                f"{config.initial} holds the weights of another network than {name} with these options"
            ) from error
    return network


def _parse_value(text: str) -> Any:
    """Return the number, tuple or None that a text stands for, or the text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
