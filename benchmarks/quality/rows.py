"""Results as rows, and the table that keeps them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar, get_type_hints, overload

from diar_ops._errors import OutputError
from diar_ops._files import read_lines, to_csv, write_text_atomic

__all__ = [
    "Keyed",
    "PerceptualRow",
    "Pictures",
    "Row",
    "RowKey",
    "RowT",
    "Scored",
    "read_rows",
    "write_rows",
]


class RowKey(NamedTuple):
    """What a result belongs to: the first ``frames`` frames of a sequence, by one method."""

    set: str
    sequence: str
    frames: int
    method: str


class Keyed(Protocol):
    """A row of a table: a NamedTuple of words, numbers and truths that knows its key."""

    @property
    def key(self) -> RowKey:
        """What it belongs to."""


RowT = TypeVar("RowT", bound=Keyed)


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


class PerceptualRow(NamedTuple):
    """One result with LPIPS, see :data:`SCORES`."""

    set: str
    sequence: str
    frames: int
    method: str
    psnr: float
    psnr_gain: float
    rmse: float
    ssim: float
    lpips: float

    @property
    def key(self) -> RowKey:
        """What it belongs to."""
        return RowKey(self.set, self.sequence, self.frames, self.method)


#: One result, with LPIPS or without.
Scored: TypeAlias = Row | PerceptualRow

#: How the cells of a table are read.
_READ: dict[type, Callable[[str], Any]] = {
    str: str,
    int: int,
    float: float,
    bool: {"True": True, "False": False}.__getitem__,
}


def write_rows(path: Path, rows: Iterable[Keyed], of: type[Keyed] = Row) -> None:
    """Write rows as CSV, sorted, so that equal rows make equal files; whole or not at all."""
    fields: tuple[str, ...] = of._fields  # type: ignore[attr-defined]
    text = to_csv(fields, sorted(rows))  # type: ignore[type-var, arg-type]
    write_text_atomic(path, text, overwrite=True)


@overload
def read_rows(path: Path) -> list[Row]: ...
@overload
def read_rows(path: Path, of: type[RowT]) -> list[RowT]: ...


def read_rows(path: Path, of: Any = Row) -> Any:
    """Read what :func:`write_rows` wrote, exactly.

    Args:
        path: The table.
        of: What its rows are.

    Raises:
        OutputError: The file cannot be read or is not such a table.
    """
    lines = read_lines(path)
    if not lines or tuple(lines[0]) != of._fields:
        raise OutputError(f"{path} must begin with the line {','.join(of._fields)}")
    hints = get_type_hints(of)
    readers = [_READ[hints[name]] for name in of._fields]
    rows = []
    for number, line in enumerate(lines[1:], 2):
        try:
            rows.append(of(*(read(cell) for read, cell in zip(readers, line, strict=True))))
        except (KeyError, ValueError) as error:
            raise OutputError(f"{path}, line {number} is not a result: {','.join(line)}") from error
    return rows


#: Which picture a sequence shows, by (set, sequence). One that is not listed shows its own.
Pictures: TypeAlias = Mapping[tuple[str, str], str]
