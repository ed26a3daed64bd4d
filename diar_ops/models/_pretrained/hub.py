"""Networks in folders and on the Hugging Face Hub, as its ecosystem saves and loads them."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import nn

from diar_ops._checks import check_option
from diar_ops._errors import WeightsError
from diar_ops._files import atomic_path, write_text_atomic
from diar_ops.models._pretrained.network_file import architecture_of, encode_network, holds_network, network_from
from diar_ops.models._pretrained.state import file_sha256, read_state

#: Names of the files in a folder and in a repository, those that the hub looks for.
WEIGHTS_NAME, CONFIG_NAME, CARD_NAME = "model.safetensors", "config.json", "README.md"
Network = TypeVar("Network", bound="Pretrained")


class Pretrained(nn.Module):
    """A network with ``save_pretrained``, ``from_pretrained`` and ``push_to_hub``.

    A class states the type of its config as ``config_type``, takes one as ``cls(config)`` and keeps
    it as ``config``. A subclass without one of its own is stored as its base, and read back as
    itself by its own ``from_pretrained``.
    """

    config_type: ClassVar[type[Any]]
    config: Any

    def save_pretrained(
        self,
        folder: str | os.PathLike[str],
        *,
        metadata: Mapping[str, str] | None = None,
        dtype: torch.dtype | None = None,
        overwrite: bool = True,
    ) -> None:
        """Write ``model.safetensors``, ``config.json`` and a model card to a folder.

        The first is the whole network, as :func:`diar_ops.save_pretrained` writes it; the others
        are for people and for the hub.

        Args:
            folder: The folder, made if it is missing.
            metadata: Words by name to keep with the weights.
            dtype: What to store floating-point tensors in; ``None`` stores each as it is.
            overwrite: Replace files that are there, as usual in this ecosystem.

        Raises:
            OptionError: An argument is not as stated.
            WeightsError: A weight is not finite, or too large for ``dtype``.
            OutputError: A file exists and ``overwrite`` is False, or the operating system refused.
        """
        path = Path(folder)
        content = encode_network(self, dict(metadata or {}), dtype)
        config = {"architecture": architecture_of(type(self)).__name__, **dataclasses.asdict(self.config)}
        with atomic_path(path / WEIGHTS_NAME, overwrite=overwrite) as temporary:
            temporary.write_bytes(content)
        write_text_atomic(path / CONFIG_NAME, json.dumps(config, indent=2) + "\n", overwrite=overwrite)
        write_text_atomic(path / CARD_NAME, _model_card(self, metadata or {}), overwrite=overwrite)

    @classmethod
    def from_pretrained(
        cls: type[Network], folder_or_repo: str | os.PathLike[str], *, sha256: str | None = None, **download: Any
    ) -> Network:
        """Return the network of a folder or of a repository of the hub, in eval mode, in float32.

        Nothing in a file is ever executed.

        Args:
            folder_or_repo: A folder of :meth:`save_pretrained`, or else the name of a repository,
                ``owner/name``, which needs the extra ``diar-ops[hub]``.
            sha256: SHA-256 that ``model.safetensors`` must have, in hexadecimal digits.
            **download: Arguments of ``huggingface_hub.hf_hub_download``: ``revision`` (a commit
                pins the file), ``token``, ``cache_dir``, ``local_files_only``, ...

        Raises:
            WeightsError: The file cannot be had, is not the expected one, damaged, or of another
                network.
        """
        folder = Path(folder_or_repo)
        path = folder / WEIGHTS_NAME if folder.is_dir() else _download(os.fspath(folder_or_repo), download)
        if sha256 is not None and file_sha256(path) != sha256.lower():
            raise WeightsError(f"from_pretrained: {path} has the SHA-256 {file_sha256(path)} instead of {sha256}")
        file = read_state(path)
        if not holds_network(file):
            raise WeightsError(f"from_pretrained: {path} is no file of save_pretrained: its header names no network")
        name = architecture_of(cls).__name__
        network = network_from(file, {name: cls})
        assert isinstance(network, cls)
        return network

    def push_to_hub(
        self,
        repo: str,
        *,
        metadata: Mapping[str, str] | None = None,
        dtype: torch.dtype | None = None,
        private: bool | None = None,
        commit_message: str = "Upload network",
        **upload: Any,
    ) -> str:
        """Upload what :meth:`save_pretrained` writes to a repository of the hub, made if missing.

        Args:
            repo: ``owner/name``. Needs the extra ``diar-ops[hub]`` and its login.
            metadata: As in :meth:`save_pretrained`.
            dtype: As in :meth:`save_pretrained`.
            private: Make a new repository private.
            commit_message: What the history says.
            **upload: Further arguments of ``huggingface_hub.HfApi.upload_folder``.

        Returns:
            The address of the commit.

        Raises:
            WeightsError: The extra is missing, or as :meth:`save_pretrained`.
        """
        hub = _import_hub("push_to_hub")
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, metadata=metadata, dtype=dtype)
            api = hub.HfApi(token=upload.pop("token", None))
            api.create_repo(repo, private=private, exist_ok=True)
            done = api.upload_folder(repo_id=repo, folder_path=folder, commit_message=commit_message, **upload)
        return str(done)


def _import_hub(op: str) -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise WeightsError(f"{op}: the hub needs huggingface_hub: pip install 'diar-ops[hub]'") from error
    return huggingface_hub


def _download(repo: str, options: Mapping[str, Any]) -> Path:
    """Return the weights of a repository, from the hub's cache or from the hub."""
    op = "from_pretrained"
    check_option(op, repo.count("/") == 1 and not repo.startswith(("/", ".")), "a folder or a repo owner/name", repo)
    hub = _import_hub(op)
    try:
        return Path(hub.hf_hub_download(repo, WEIGHTS_NAME, library_name="diar_ops", **options))
    except TypeError:
        raise  # an argument that the hub does not know
    except Exception as error:
        # Of a dozen types, those of its HTTP client among them, which changes between versions.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsError(f"{op}: cannot get {WEIGHTS_NAME} of {repo} from the hub ({reason})") from error


def _model_card(network: Pretrained, metadata: Mapping[str, str]) -> str:
    """Return the README of a network."""
    name = architecture_of(type(network)).__name__
    count = sum(p.numel() for p in network.parameters())
    lines = ["---", "library_name: diar_ops", "tags:", "- diar_ops", "- image-to-image", "---", "", f"# {name}", ""]
    lines += [f"A network of {count:,} parameters for diar_ops.", ""]
    lines += ["```python", f"from diar_ops import {name}", ""]
    lines += [f'network = {name}.from_pretrained("owner/name")  # this repository, or a folder', "```", ""]
    for title, table in (("Config", dataclasses.asdict(network.config)), ("Training", metadata)):
        if table:
            lines += [f"## {title}", "", *(f"- `{key}`: {value}" for key, value in table.items()), ""]
    return "\n".join(lines)
