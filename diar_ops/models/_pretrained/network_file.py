"""One network in one safetensors file: its state, and in the header what it is."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from diar_ops._checks import check_option
from diar_ops._errors import DiarError, WeightsError
from diar_ops._version import __version__
from diar_ops.models._pretrained.state import StateFile, check_fit

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


def architecture_of(network: type[nn.Module]) -> type[nn.Module]:
    """Return the class that a network is stored as: the nearest one with a ``config_type`` of its own."""
    return next(cls for cls in network.__mro__ if "config_type" in vars(cls))


def encode_network(network: nn.Module, metadata: Mapping[str, str], dtype: torch.dtype | None) -> bytes:
    """Return the content of the file of a network.

    Raises:
        OptionError: ``metadata`` or ``dtype`` is not as :func:`diar_ops.save_pretrained` says.
        WeightsError: A weight is not finite, or too large for ``dtype``.
    """
    op = "save_pretrained"
    fits = all(isinstance(k, str) and isinstance(v, str) for k, v in metadata.items())
    check_option(op, fits, "metadata of words by name", metadata)
    fits = not any(key.startswith(PREFIX) for key in metadata)
    check_option(op, fits, f"names of metadata that do not start with {PREFIX}", list(metadata))
    halves = (None, torch.float16, torch.bfloat16, torch.float32)
    check_option(op, dtype in halves, f"a dtype among {list(halves)}", dtype)
    config: Any = network.config
    header = {
        **metadata,
        _VERSION: str(FORMAT_VERSION),
        _ARCHITECTURE: architecture_of(type(network)).__name__,
        _CONFIG: json.dumps(dataclasses.asdict(config)),
        _LIBRARY: __version__,
    }
    return bytes(save({key: _stored(key, value, dtype) for key, value in network.state_dict().items()}, header))


def _stored(key: str, value: Tensor, dtype: torch.dtype | None) -> Tensor:
    """Return a copy on the CPU that shares its memory with no other tensor, as the file wants."""
    stored = value.detach().to("cpu", copy=True).contiguous()
    if not stored.is_floating_point():
        return stored
    stored = stored if dtype is None else stored.to(dtype)
    if not stored.isfinite().all():
        raise WeightsError(
            f"save_pretrained: expected finite weights that {stored.dtype} can hold, got others in "
            f"{key}; store them in torch.float32, unless the training diverged"
        )
    return stored


def holds_network(file: StateFile) -> bool:
    """Return whether a file is one of :func:`encode_network`."""
    return _VERSION in file.metadata


def network_from(file: StateFile, networks: Mapping[str, type[Any]]) -> nn.Module:
    """Return the network that a file holds, in eval mode, in float32.

    Args:
        file: What was read.
        networks: The classes to make it of, by the name of the architecture.

    Raises:
        WeightsError: The file is of a newer format, of an unknown network, or does not fit it.
    """
    _check_version(file)
    name = file.metadata.get(_ARCHITECTURE, "")
    if name not in networks:
        raise WeightsError(
            f"load_pretrained: expected {file.path} to hold one of {list(networks)}, got {name!r}; "
            f"update diar_ops if a newer one ({_writer(file)}) wrote the file"
        )
    config = _read_config(file, networks[name].config_type)
    # First without memory: a config that is not that of the tensors in the file costs none.
    check_fit(file, _build(file, networks[name], config, "meta"), f"the {name} of its own config", hint=f"; {_HINT}")
    network = _build(file, networks[name], config, "cpu")
    network.load_state_dict({**network.state_dict(), **file.state})
    return network.eval()


def _build(file: StateFile, network: type[Any], config: Any, device: str) -> nn.Module:
    """Return a network of a config that a file holds."""
    try:
        # The initial parameters are overwritten: leave the caller's random numbers alone. A network
        # that is made in inference mode could not be trained.
        with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.device(device):
            built: nn.Module = network(config)
            return built.to(torch.float32)  # whatever the default dtype is
    except (DiarError, MemoryError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(
            f"load_pretrained: the config in {file.path} builds no {network.__name__} ({reason}); {_HINT}"
        ) from error


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


def _read_config(file: StateFile, kind: type[Any]) -> Any:
    """Return the config; fields that did not exist when the file was written have defaults."""
    known = [field.name for field in dataclasses.fields(kind)]
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
        return kind(**{name: _to_tuples(value) for name, value in document.items()})
    except (DiarError, TypeError) as error:
        raise WeightsError(f"load_pretrained: the config in {file.path} is not valid ({error}); {_HINT}") from error


def _to_tuples(value: Any) -> Any:
    """Turn the lists that JSON makes of tuples into tuples again."""
    return tuple(_to_tuples(v) for v in value) if isinstance(value, list) else value
