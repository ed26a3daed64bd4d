"""Downloads of weights: complete and verified, or not there at all."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import urllib.request
from pathlib import Path

import torch

from diar_ops._errors import WeightsError
from diar_ops.models._pretrained.state import file_sha256

_TIMEOUT_SECONDS = 30
_CHUNK_BYTES = 1 << 20


def fetch(name: str, url: str, *, progress: bool) -> Path:
    """Return the verified file behind ``url`` from the cache folder, downloaded if it is missing.

    Args:
        name: What the weights are called.
        url: Where they are; the file's name ends with the first digits of its SHA-256.
        progress: Report the download on standard error.

    Raises:
        WeightsError: The download fails, or the file is not the expected one.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    expected = path.stem.rsplit("-", 1)[-1]
    if path.is_file():
        digest = file_sha256(path)
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
