"""The order in which a person counts files, and the words for a path that cannot be read."""

from __future__ import annotations

import re
from pathlib import Path

from diar_ops._errors import ImageError


def natural_key(path: Path) -> tuple[list[tuple[bool, int, str]], str]:
    """Return a sort key that counts: runs of digits are numbers and come before letters."""
    parts = re.findall(r"[0-9]+|[^0-9]+", path.name.casefold())
    counted = [(False, int(p), "") if "0" <= p[0] <= "9" else (True, 0, p) for p in parts]
    return counted, path.name


def read_error(path: Path, error: OSError) -> ImageError:
    """Return the error that says why the operating system does not let us read a path."""
    if isinstance(error, FileNotFoundError):
        return ImageError(f"{path} does not exist")
    return ImageError(f"cannot read {path}: {(error.strerror or str(error)).lower()}")
