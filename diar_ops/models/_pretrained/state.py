"""State dicts in files, read without executing anything, and checked against a network."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor, nn

from diar_ops._errors import WeightsError


class StateFile(NamedTuple):
    """The content of a weights file.

    Attributes:
        path: Where it is.
        state: Tensors by name.
        metadata: Words by name; only ``.safetensors`` files have any.
    """

    path: Path
    state: dict[str, Tensor]
    metadata: dict[str, str]


def read_state(path: Path) -> StateFile:
    """Read a state dict, in the dtype that it is stored in, on the CPU.

    Raises:
        WeightsError: The file cannot be read, is damaged, or holds no state dict.
    """
    metadata: dict[str, str] = {}
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                metadata = dict(file.metadata() or {})
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"load_pretrained: cannot read {path} ({error})") from error
    except Exception as error:
        # A damaged file fails anywhere in the readers, with any of a dozen types, and torch's words
        # for it advise to load it unsafely.
        raise WeightsError(f"load_pretrained: {path} is damaged or no weights file") from error
    if not isinstance(state, Mapping) or not all(
        isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()
    ):
        raise WeightsError(
            f"load_pretrained: {path} must hold a state dict of tensors by name; save one with "
            f"torch.save(network.state_dict(), path)"
        )
    return StateFile(path, dict(state), metadata)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def check_fit(file: StateFile, network: nn.Module, name: str, *, hint: str = "") -> None:
    """Raise unless names, shapes and kinds of numbers are those of ``network``.

    Args:
        file: What was read.
        network: What shall hold it.
        name: What the network is called.
        hint: What to do, behind what is wrong.

    Raises:
        WeightsError: They are not.
    """
    state, expected = file.state, network.state_dict()
    # Files older than this counter, which eval mode does not use, lack it.
    missing = [k for k in expected if k not in state and not k.endswith("num_batches_tracked")]
    unexpected = [k for k in state if k not in expected]
    common = {k: v for k, v in state.items() if k in expected}
    reshaped = [
        f"{k} {list(v.shape)} instead of {list(expected[k].shape)}"
        for k, v in common.items()
        if v.shape != expected[k].shape
    ]
    retyped = [
        f"{k} {v.dtype} instead of {expected[k].dtype}"
        for k, v in common.items()
        if v.is_floating_point() != expected[k].is_floating_point()
    ]
    problems = [
        f"{what} {some(keys)}"
        for what, keys in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of wrong shape", reshaped),
            ("of wrong dtype", retyped),
        )
        if keys
    ]
    if problems:
        raise WeightsError(f"load_pretrained: the keys of {file.path} do not fit {name}: " + "; ".join(problems) + hint)


def some(keys: Iterable[str], most: int = 4) -> str:
    """Return the first few of many names, and the number of the others."""
    keys = list(keys)
    named = ", ".join(keys[:most])
    return named + (f" and {len(keys) - most} more" if len(keys) > most else "")
