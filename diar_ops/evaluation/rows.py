"""Results as rows, and the table that keeps them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from diar_ops._errors import OutputError
from diar_ops.data import write_text_atomic
from diar_ops.data.output import explain

__all__ = ["Row", "RowKey", "read_rows", "write_rows"]


class RowKey(NamedTuple):
    """What a result belongs to: the first ``frames`` frames of a sequence, by one method."""

    set: str
    sequence: str
    frames: int
    method: str


class Row(NamedTuple):
    """One result, see :data:`SCORES`."""

    set: str
    sequence: str
    frames: int
    method: str
    psnr: float
    psnr_gain: float
    rmse: float
    ssim: float

    @property
    def key(self) -> RowKey:
        """What it belongs to; no two rows of a table share it."""
        return RowKey(self.set, self.sequence, self.frames, self.method)


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as CSV, sorted, so that equal rows make equal files; whole or not at all."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(Row._fields)
    table.writerows(sorted(rows))
    write_text_atomic(path, text.getvalue(), overwrite=True)


def read_rows(path: Path) -> list[Row]:
    """Read what :func:`write_rows` wrote, exactly.

    Raises:
        OutputError: The file cannot be read or is not such a table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file))
    except OSError as error:
        raise OutputError(f"cannot read {path}: {explain(error)}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise OutputError(f"{path} is not a table: {error}") from error
    if not lines or tuple(lines[0]) != Row._fields:
        raise OutputError(f"{path} must begin with the line {','.join(Row._fields)}")
    rows = []
    for number, line in enumerate(lines[1:], 2):
        try:
            name, sequence, frames, method, *scores = line
            rows.append(Row(name, sequence, int(frames), method, *map(float, scores)))
        except (TypeError, ValueError) as error:
            raise OutputError(f"{path}, line {number} is not a result: {','.join(line)}") from error
    return rows
