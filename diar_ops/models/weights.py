"""Pretrained weights: by name, with a download, or from a local file."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from diar_ops._errors import WeightsError
from diar_ops.models.resnet import ARCHITECTURES, ResNetTrunk

__all__ = ["load_pretrained"]

#: torchvision's ImageNet weights (IMAGENET1K_V1; V2 for ResNet-50). A file's name ends with the
#: first digits of its SHA-256.
_URLS = {
    "resnet18": "https://download.pytorch.org/models/resnet18-f37072fd.pth",
    "resnet34": "https://download.pytorch.org/models/resnet34-b627a593.pth",
    "resnet50": "https://download.pytorch.org/models/resnet50-11ad3fa6.pth",
}
#: Where the cells of stages 0 to 3 of ImageNet weights look, in pixels from the centre of their
#: receptive field: the offset at which the maps of pictures and of resized copies of them agree
#: best, measured on ResNet-18. Training on mirrored pictures of even size pulls the maps
#: towards the centre of the image, half a stride from where the kernels are centred.
_IMAGENET_OFFSET = (0.3, 1.35, 2.7, 7.0)
#: Parts of a ResNet behind the trunk.
_IGNORED = ("layer4.", "fc.")
_TIMEOUT_SECONDS = 30
_CHUNK_BYTES = 1 << 20


def load_pretrained(name_or_path: str | os.PathLike[str], *, progress: bool = True) -> ResNetTrunk:
    """Return a network with its weights, in eval mode, on the CPU, in float32.

    A name is looked up in the folder where torch.hub and torchvision keep their downloads
    (``torch.hub.get_dir()/checkpoints``) and downloaded there if it is missing; the file's
    SHA-256 is compared with the digits in its name either way. A path is read as it is, and the
    architecture follows from the keys in it. Nothing in a file is ever executed.

    Trained cells do not look at the centre of their receptive field: the offsets of the returned
    trunk are those measured on ResNet-18's ImageNet weights, (0.3, 1.35, 2.7, 7.0) pixels for
    stages 0 to 3. Assign ``trunk.offset`` if a file holds weights that look elsewhere.

    Args:
        name_or_path: ``"resnet18"``, ``"resnet34"`` or ``"resnet50"`` (torchvision's ImageNet
            weights), or the path of a ``.safetensors`` file or of a ``.pth`` file that holds a
            state dict with torchvision's keys. ``layer4`` and ``fc`` are ignored.
        progress: Report the download on standard error.

    Raises:
        WeightsError: The name is unknown, the download fails, or the file is missing, damaged, no
            weights file, or does not fit a network.
    """
    if isinstance(name_or_path, str) and name_or_path in _URLS:
        path = _fetch(name_or_path, progress)
    else:
        path = Path(name_or_path)
        if not path.is_file():
            raise WeightsError(
                f"load_pretrained: expected one of {list(_URLS)} or the path of a weights file, "
                f"got {os.fspath(name_or_path)!r}, which is neither"
            )
    state = {k: v for k, v in _read(path).items() if not k.startswith(_IGNORED)}
    architecture = _architecture_of(state, path)
    # The initial parameters are overwritten: leave the caller's random numbers alone.
    with torch.random.fork_rng(devices=[]):
        trunk = ResNetTrunk(architecture, offset=_IMAGENET_OFFSET)
    _check_fit(state, trunk, path)
    trunk.load_state_dict({**trunk.state_dict(), **state})
    return trunk.eval()


def _fetch(name: str, progress: bool) -> Path:
    """Return the verified file of a name from the cache folder, downloaded if it is missing."""
    url = _URLS[name]
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    expected = path.stem.rsplit("-", 1)[-1]
    if path.is_file():
        digest = _sha256(path)
        if not digest.startswith(expected):
            raise WeightsError(
                f"load_pretrained: {path} is damaged (its SHA-256 starts with "
                f"{digest[: len(expected)]} instead of {expected}); delete it to download it again"
            )
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = _download(url, path, expected, progress)
    except (OSError, EOFError) as error:  # URLError and timeouts are OSErrors
        raise WeightsError(
            f"load_pretrained: cannot download the weights of {name} ({error}); fetch {url} by "
            f"other means and put it in {path.parent}, or use DenseSIFT, which needs no weights"
        ) from error
    if not digest.startswith(expected):
        raise WeightsError(
            f"load_pretrained: what {url} returned is not the expected file (its SHA-256 starts "
            f"with {digest[: len(expected)]} instead of {expected}); a proxy may have replaced it"
        )
    return path


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _download(url: str, path: Path, expected: str, progress: bool) -> str:
    """Download to ``path``, which appears complete and verified or not at all; return the hash."""
    digest = hashlib.sha256()
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with (
            os.fdopen(handle, "wb") as file,
            urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response,  # noqa: S310 - ours
        ):
            total, done = int(response.headers.get("Content-Length") or 0), 0
            while chunk := response.read(_CHUNK_BYTES):
                file.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                if progress:
                    of_total = f" of {total / 1e6:.0f}" if total else ""
                    sys.stderr.write(f"\r{path.name}: {done / 1e6:.0f}{of_total} MB")
                    sys.stderr.flush()
            if progress:
                sys.stderr.write("\n")
        if total and done < total:
            raise EOFError(f"the connection ended after {done} of {total} bytes")
        if digest.hexdigest().startswith(expected):
            Path(part).replace(path)
        return digest.hexdigest()
    finally:
        Path(part).unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Tensor]:
    """Read a state dict without executing anything in the file."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
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
    return dict(state)


def _architecture_of(state: Mapping[str, Tensor], path: Path) -> str:
    """Tell the architecture from the names of the blocks."""
    bottleneck = "layer1.0.conv3.weight" in state
    blocks = tuple(
        len({key.split(".")[1] for key in state if key.startswith(f"layer{layer}.")})
        for layer in (1, 2, 3)
    )
    for name, architecture in ARCHITECTURES.items():
        if architecture.blocks == blocks and architecture.bottleneck == bottleneck:
            return name
    raise WeightsError(
        f"load_pretrained: expected {path} to hold the trunk of one of {list(ARCHITECTURES)}, got "
        f"{blocks} blocks in layer1 to layer3 and the keys {_some(state)}"
    )


def _check_fit(state: Mapping[str, Tensor], trunk: ResNetTrunk, path: Path) -> None:
    """Raise unless names and shapes agree."""
    expected = trunk.state_dict()
    # Files older than this counter, which eval mode does not use, lack it.
    missing = [k for k in expected if k not in state and not k.endswith("num_batches_tracked")]
    unexpected = [k for k in state if k not in expected]
    reshaped = [
        f"{k} {list(v.shape)} instead of {list(expected[k].shape)}"
        for k, v in state.items()
        if k in expected and v.shape != expected[k].shape
    ]
    problems = [
        f"{what} {_some(keys)}"
        for what, keys in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of wrong shape", reshaped),
        )
        if keys
    ]
    if problems:
        raise WeightsError(
            f"load_pretrained: the keys of {path} do not fit {trunk.architecture}: "
            + "; ".join(problems)
        )


def _some(keys: Iterable[str], most: int = 4) -> str:
    """Name the first few."""
    keys = list(keys)
    named = ", ".join(keys[:most])
    return named + (f" and {len(keys) - most} more" if len(keys) > most else "")
