"""What a folder of results was made with: rows of other settings must not be mixed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

from benchmarks.quality.rows import (
    PerceptualRow,
    Pictures,
    Row,
    RowT,
    Scored,
    read_rows,
    write_rows,
)
from diar_ops._errors import OutputError
from diar_ops._files import write_text_atomic
from diar_ops._version import __version__
from diar_ops.data import DOCUMENT

__all__ = [
    "PERCEPTUAL",
    "PICTURES",
    "RECONSTRUCTION",
    "RECORD",
    "Results",
    "continue_results",
    "keep_pictures",
    "kept_pictures",
    "kept_results",
    "kept_scores",
    "settings_record",
]

RECORD = "settings.json"
#: Which picture each sequence shows, by set.
SHOWN = "sequences.json"
#: Folder of pictures of the results.
PICTURES = "pictures"
#: Settings that grow: more of them may join, those that are there must be the same.
GROWING = {
    "sets": "another set called",
    "weights": "other weights called",
    "methods": "another method called",
    "factors": "another factor called",
    "pictures": "other pictures of sequence",
}


@dataclass(frozen=True)
class Results(Generic[RowT]):
    """A kind of results, and where they are.

    Attributes:
        format: What their record says they are.
        table: Name of the table that keeps them.
        row: What the rows of the table are.
        others: Names of further files, which must not be replaced where no record says that they
            are results.
    """

    format: str
    table: str
    row: type[RowT]
    others: tuple[str, ...]


RECONSTRUCTION = Results(
    "diar_ops evaluation", "scores.csv", Row, ("summary.md", "summary.csv", "comparisons.csv")
)
#: The same with LPIPS.
PERCEPTUAL = Results(
    RECONSTRUCTION.format, RECONSTRUCTION.table, PerceptualRow, RECONSTRUCTION.others
)


def settings_record(
    results: Results[RowT], sets: Mapping[str, Path] | None = None, **settings: Any
) -> dict[str, Any]:
    """Return all that rows depend on beside what they name.

    Args:
        results: What they are.
        sets: The folder of the first sequence of each set, by the name of the set;
            None for results of no sets.
        settings: Numbers and words; or, of those in :data:`GROWING`, words by name.
    """
    record: dict[str, Any] = {"format": results.format, "version": __version__, **settings}
    if sets is not None:
        record["sets"] = {
            name: hashlib.sha256((folder / DOCUMENT).read_bytes()).hexdigest()
            for name, folder in sets.items()
        }
    return record


def continue_results(
    out: Path, results: Results[RowT], record: dict[str, Any], *, overwrite: bool
) -> list[RowT]:
    """Return the rows that a folder already holds, and write the record of it.

    Args:
        out: The folder of the results; it need not exist.
        results: What they are.
        record: A :func:`settings_record`.
        overwrite: Begin anew, whatever is there.

    Raises:
        OutputError: The folder holds results of other settings or none that can be continued, or
            cannot be written.
    """
    path, table = out / RECORD, out / results.table
    rows: list[RowT] = []
    names = (RECORD, results.table, *results.others)
    if not overwrite and any((out / name).exists() for name in names):
        before = _read(path, results.format, [name for name in GROWING if name in record])
        _check_same(out, before, record)
        grown = {n: {**before[n], **record[n]} for n in GROWING if n in record}
        record = {**record, **grown}
        rows = read_rows(table, results.row) if table.exists() else []
    elif overwrite and table.is_file():
        # before the record: old rows never stand beside a new one
        write_rows(table, [], results.row)
        (out / SHOWN).unlink(missing_ok=True)
        shutil.rmtree(out / PICTURES, ignore_errors=True)
    write_text_atomic(path, json.dumps(record, indent=1) + "\n", overwrite=True)
    return rows


def kept_results(out: Path, results: Results[RowT]) -> tuple[list[RowT], dict[str, Any]]:
    """Return the rows that a folder holds and their record, none where it holds no results.

    Raises:
        OutputError: They are of another kind or cannot be read.
    """
    if not (out / results.table).exists():
        return [], {}
    record = _read(out / RECORD, results.format, [])
    return read_rows(out / results.table, results.row), record


def kept_scores(out: Path) -> tuple[list[Scored], dict[str, Any]]:
    """Return what :func:`kept_results` does of scores of reconstruction, with LPIPS or without."""
    path = out / RECORD
    kept = _read(path, RECONSTRUCTION.format, []) if path.exists() else {}
    if kept.get("lpips"):
        rows, record = kept_results(out, PERCEPTUAL)
        return [*rows], record
    plain, record = kept_results(out, RECONSTRUCTION)
    return [*plain], record


def keep_pictures(out: Path, pictures: Pictures) -> None:
    """Keep in a folder which pictures sequences show, beside those that it knows of."""
    kept: dict[str, dict[str, str]] = {}
    for (name, sequence), picture in {**kept_pictures(out), **pictures}.items():
        kept.setdefault(name, {})[sequence] = picture
    write_text_atomic(out / SHOWN, json.dumps(kept, indent=1) + "\n", overwrite=True)


def kept_pictures(out: Path) -> dict[tuple[str, str], str]:
    """Return what :func:`keep_pictures` kept; nothing where there is no such file.

    Raises:
        OutputError: The file is damaged.
    """
    path = out / SHOWN
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return {
            (name, sequence): str(picture)
            for name, of in kept.items()
            for sequence, picture in of.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise OutputError(f"{path} does not say which pictures sequences show: {error}") from error


def _read(path: Path, wanted: str, growing: list[str]) -> dict[str, Any]:
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        other = before["format"] != wanted
        fits = other or all(isinstance(before[n], dict) for n in growing)
    except (OSError, ValueError, KeyError, TypeError):
        other = fits = False
    if other:
        raise OutputError(
            f"{path.parent} holds results of another kind ({before['format']}); choose another "
            f"folder or begin anew (--overwrite)"
        )
    if not fits:
        raise OutputError(
            f"{path.parent} holds results, but no {RECORD} that says what they are; choose another "
            f"folder or begin anew (--overwrite)"
        )
    return dict(before)


def _check_same(out: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    changes = [
        f"{name} {before.get(name)} instead of {now[name]}"
        for name in now
        if name not in GROWING and before.get(name) != now[name]
    ]
    for name, what in GROWING.items():
        if name in now:
            shared = before[name].keys() & now[name].keys()
            changes += [f"{what} {n}" for n in sorted(shared) if before[name][n] != now[name][n]]
    if changes:
        raise OutputError(
            f"{out} holds results of other settings ({', '.join(changes)}); choose another folder "
            f"or begin anew (--overwrite)"
        )
