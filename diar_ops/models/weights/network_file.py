"""One network in one safetensors file: its state, and in the header what it is."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from diar_ops._errors import DiarError, WeightsError
from diar_ops._version import __version__
from diar_ops.models.weights.registry import NETWORKS, NetworkEntry
from diar_ops.models.weights.state import StateFile, check_fit

#: Of the keys of the header that are not the user's.
PREFIX = "diar_ops."
#: Raised when files of this version stop being readable as the version before.
FORMAT_VERSION = 1

_VERSION = f"{PREFIX}format_version"
_ARCHITECTURE = f"{PREFIX}architecture"
_CONFIG = f"{PREFIX}config"
_LIBRARY = f"{PREFIX}library_version"
#: What to do about a damaged file.
_HINT = "get the file anew, or write it again with save_pretrained"


def encode_network(network: nn.Module, state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return the content of the file of a registered network."""
    config: Any = network.config
    header = {
        **metadata,
        _VERSION: str(FORMAT_VERSION),
        _ARCHITECTURE: type(network).__name__,
        _CONFIG: json.dumps(dataclasses.asdict(config)),
        _LIBRARY: __version__,
    }
    return bytes(save(dict(state), header))


def holds_network(file: StateFile) -> bool:
    """Return whether a file is one of :func:`encode_network`."""
    return _VERSION in file.metadata


def network_from(file: StateFile) -> nn.Module:
    """Return the network that a file holds, in eval mode, in float32.

    Raises:
        WeightsError: The file is of a newer format, of an unknown network, or does not fit it.
    """
    _check_version(file)
    name = file.metadata.get(_ARCHITECTURE, "")
    if name not in NETWORKS:
        raise WeightsError(
            f"load_pretrained: expected {file.path} to hold one of {list(NETWORKS)}, got {name!r}; "
            f"update diar_ops if a newer one ({_writer(file)}) wrote the file"
        )
    registered = NETWORKS[name]
    config = _read_config(file, registered)
    try:
        # The initial parameters are overwritten: leave the caller's random numbers alone.
        with torch.random.fork_rng(devices=[]):
            network = registered.network(config).to(torch.float32)  # whatever the default dtype is
    except (DiarError, MemoryError, RuntimeError) as error:
        raise WeightsError(
            f"load_pretrained: the config in {file.path} builds no {name} ({str(error).splitlines()[0]}); {_HINT}"
        ) from error
    check_fit(file, network, f"the {name} of its own config", hint=f"; {_HINT}")
    network.load_state_dict({**network.state_dict(), **file.state})
    return network.eval()


def _check_version(file: StateFile) -> None:
    """Raise unless this library can read the format of a file."""
    version = file.metadata[_VERSION]
    if not (version.isascii() and version.isdigit()):
        raise WeightsError(f"load_pretrained: {file.path} is damaged (its format version is {version!r}); {_HINT}")
    if len(version) > 9 or int(version) > FORMAT_VERSION:
        raise WeightsError(
            f"load_pretrained: {file.path} is of format {version[:9]} (written by {_writer(file)}),"
            f" this diar_ops reads up to {FORMAT_VERSION}; update diar_ops"
        )


def _writer(file: StateFile) -> str:
    """Return the library and version that wrote a file, in words."""
    return f"diar_ops {file.metadata.get(_LIBRARY, 'of unknown version')}"


def _read_config(file: StateFile, registered: NetworkEntry) -> Any:
    """Return the config; fields that did not exist when the file was written have defaults."""
    known = [field.name for field in dataclasses.fields(registered.config)]
    try:
        document = json.loads(file.metadata.get(_CONFIG, ""))
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"load_pretrained: the config in {file.path} is no JSON; {_HINT}") from error
    if not isinstance(document, dict):
        raise WeightsError(
            f"load_pretrained: expected the config in {file.path} to be a JSON object, got "
            f"{type(document).__name__}; {_HINT}"
        )
    unknown = [name for name in document if name not in known]
    if unknown:
        raise WeightsError(
            f"load_pretrained: expected the config in {file.path} to have fields among {known}, "
            f"got {unknown}; update diar_ops if a newer one ({_writer(file)}) wrote the file"
        )
    try:
        return registered.config(**{name: _to_tuples(value) for name, value in document.items()})
    except (DiarError, TypeError) as error:
        raise WeightsError(f"load_pretrained: the config in {file.path} is not valid ({error}); {_HINT}") from error


def _to_tuples(value: Any) -> Any:
    """Turn the lists that JSON makes of tuples into tuples again."""
    return tuple(_to_tuples(v) for v in value) if isinstance(value, list) else value
