"""Tables as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from diar_ops._errors import OutputError
from diar_ops._files import describe_os_error


def to_csv(heads: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """Return a table as CSV."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(heads)
    table.writerows(rows)
    return text.getvalue()


def read_lines(path: Path) -> list[list[str]]:
    """Return the cells of a CSV file, line by line.

    Raises:
        OutputError: The file cannot be read or is not such a table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.reader(file))
    except OSError as error:
        raise OutputError(f"cannot read {path}: {describe_os_error(error)}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise OutputError(f"{path} is not a table: {error}") from error
