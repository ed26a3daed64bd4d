"""The rows of all tables of results: how they are read, written, grouped and counted."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

import torch
from torch import Tensor

from benchmarks.quality.csv_lines import read_lines, to_csv
from diar_ops._errors import OutputError
from diar_ops._files import write_text_atomic


class RowKey(NamedTuple):
    """Key of a result: the first ``frames`` frames of a sequence, by one method."""

    set: str
    sequence: str
    frames: int
    method: str


class Row(NamedTuple):
    """One result.

    Attributes:
        set: Name of the set.
        sequence: Name of the sequence.
        frames: How many of its frames were used.
        method: Name of the method.
        values: What was measured, by column, see :class:`Results`.
    """

    set: str
    sequence: str
    frames: int
    method: str
    values: dict[str, Any]

    @property
    def key(self) -> RowKey:
        """The key of the result."""
        return RowKey(*self[:4])


#: Type of each column of a key.
KEY_COLUMNS: dict[str, type] = {"set": str, "sequence": str, "frames": int, "method": str}


@dataclass(frozen=True)
class Results:
    """A kind of results, and the files that keep them.

    Attributes:
        format: Name of the kind, which the record of the settings holds.
        table: Name of the CSV file of the rows.
        columns: Its columns in order, those of the key among them, with their types: ``str``,
            ``int``, ``float`` or ``bool``.
        others: Names of further files, which must not be replaced where no record says that they
            are results.
        set_name: Maps the cells of a line to the name of its set.
    """

    format: str
    table: str
    columns: Mapping[str, type]
    others: tuple[str, ...]
    set_name: Callable[[Mapping[str, Any]], str] = itemgetter("set")


#: How the cells of a table are read.
_READERS: dict[type, Callable[[str], Any]] = {
    str: str,
    int: int,
    float: float,
    bool: {"True": True, "False": False}.__getitem__,
}


def write_rows(path: Path, rows: Iterable[Row], results: Results) -> None:
    """Write rows as CSV, sorted, so that equal rows make equal files; whole or not at all."""
    lines = sorted(
        tuple(getattr(row, name) if name in KEY_COLUMNS else row.values[name] for name in results.columns)
        for row in rows
    )
    write_text_atomic(path, to_csv([*results.columns], lines), overwrite=True)


def read_rows(path: Path, results: Results) -> list[Row]:
    """Read what :func:`write_rows` wrote, exactly.

    Raises:
        OutputError: The file cannot be read or is not such a table.
    """
    lines = read_lines(path)
    if not lines or lines[0] != [*results.columns]:
        raise OutputError(f"{path} must begin with the line {','.join(results.columns)}")
    readers = [_READERS[kind] for kind in results.columns.values()]
    rows = []
    for number, line in enumerate(lines[1:], 2):
        try:
            values = [read(cell) for read, cell in zip(readers, line, strict=True)]
        except (KeyError, ValueError) as error:
            raise OutputError(f"{path}, line {number} is not a result: {','.join(line)}") from error
        cells = dict(zip(results.columns, values, strict=True))
        key = RowKey(results.set_name(cells), *(cells[name] for name in RowKey._fields[1:]))
        rows.append(Row(*key, {n: v for n, v in cells.items() if n not in KEY_COLUMNS}))
    return rows


ItemT = TypeVar("ItemT")
KeyT = TypeVar("KeyT", bound=Hashable)


def group_by(items: Iterable[ItemT], key: Callable[[ItemT], KeyT]) -> dict[KeyT, list[ItemT]]:
    """Return the items of each key, keys and items in order of appearance."""
    groups: dict[KeyT, list[ItemT]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def column(rows: Iterable[Row], name: str) -> Tensor:
    """Return a value of N rows, (N,) float64."""
    return torch.tensor([row.values[name] for row in rows], dtype=torch.float64)


def select_most_frames(rows: Iterable[Row], place: Callable[[Row], Hashable]) -> list[Row]:
    """Return the rows with the most frames among those of the same place."""
    rows = list(rows)
    most = {where: max(row.frames for row in group) for where, group in group_by(rows, place).items()}
    return [row for row in rows if row.frames == most[place(row)]]


#: Which picture a sequence shows, by (set, sequence). One that is not listed shows its own.
Pictures: TypeAlias = Mapping[tuple[str, str], str]


def picture_of(row: Row, pictures: Pictures | None) -> str:
    """Return which picture the sequence of a row shows."""
    return (pictures or {}).get((row.set, row.sequence), f"sequence {row.sequence}")


def count_pictures(rows: Iterable[Row], pictures: Pictures | None = None) -> tuple[int, int]:
    """Return the numbers of (sequences, pictures) in rows."""
    first = {(row.set, row.sequence): row for row in rows}
    return len(first), len({picture_of(row, pictures) for row in first.values()})
