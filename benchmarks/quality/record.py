"""Folders of results and the record of their settings: rows of others must not be mixed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.quality.rows import Pictures, Results, Row, read_rows, write_rows
from diar_ops._errors import OutputError
from diar_ops._files import write_text_atomic
from diar_ops._version import __version__
from diar_ops.data import DOCUMENT

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


class StoredResults(NamedTuple):
    """The contents of a folder of results.

    Attributes:
        folder: The folder.
        rows: Its rows; none where it holds no results.
        record: Their :func:`settings_record`.
        pictures: Which picture each sequence shows.
    """

    folder: Path
    rows: list[Row]
    record: dict[str, Any]
    pictures: Pictures


def settings_record(
    results: Results, folders: Mapping[tuple[str, str], Path] | None = None, **settings: Any
) -> dict[str, Any]:
    """Return all that rows depend on beside what they name.

    Args:
        results: What they are.
        folders: Those of the sequences, by (set, sequence), of which the first of each set is
            recorded; None for results of no sets.
        settings: Numbers and words; or, of those in :data:`GROWING`, words by name.
    """
    record: dict[str, Any] = {"format": results.format, "version": __version__, **settings}
    if folders is not None:
        sets = record["sets"] = {}
        for (name, _), folder in folders.items():
            if name not in sets:
                sets[name] = hashlib.sha256((folder / DOCUMENT).read_bytes()).hexdigest()
    return record


def continue_results(out: Path, results: Results, record: dict[str, Any], *, overwrite: bool) -> list[Row]:
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
    rows: list[Row] = []
    names = (RECORD, results.table, *results.others)
    if not overwrite and any((out / name).exists() for name in names):
        before = read_record(out, results, [name for name in GROWING if name in record])
        _check_same(out, before, record)
        grown = {n: {**before[n], **record[n]} for n in GROWING if n in record}
        record = {**record, **grown}
        rows = read_rows(table, results) if table.exists() else []
    elif overwrite and table.is_file():
        # before the record: old rows never stand beside a new one
        write_rows(table, [], results)
        (out / SHOWN).unlink(missing_ok=True)
        shutil.rmtree(out / PICTURES, ignore_errors=True)
    write_text_atomic(path, json.dumps(record, indent=1) + "\n", overwrite=True)
    return rows


def read_results(out: Path, results: Results) -> StoredResults:
    """Return the results that a folder holds.

    Raises:
        OutputError: They are of another kind or cannot be read.
    """
    if not (out / results.table).exists():
        return StoredResults(out, [], {}, {})
    record = read_record(out, results)
    rows = read_rows(out / results.table, results)
    return StoredResults(out, rows, record, read_pictures(out))


def add_pictures(out: Path, pictures: Pictures) -> None:
    """Keep in a folder which pictures sequences show, beside those that it knows of."""
    kept: dict[str, dict[str, str]] = {}
    for (name, sequence), picture in {**read_pictures(out), **pictures}.items():
        kept.setdefault(name, {})[sequence] = picture
    write_text_atomic(out / SHOWN, json.dumps(kept, indent=1) + "\n", overwrite=True)


def read_pictures(out: Path) -> dict[tuple[str, str], str]:
    """Return what :func:`add_pictures` kept; nothing where there is no such file.

    Raises:
        OutputError: The file is damaged.
    """
    path = out / SHOWN
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return {
            (name, sequence): str(picture)
            for name, sequences in kept.items()
            for sequence, picture in sequences.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise OutputError(f"{path} does not say which pictures sequences show: {error}") from error


def read_record(out: Path, results: Results, growing: Sequence[str] = ()) -> dict[str, Any]:
    """Return the record of a folder of results.

    Args:
        out: The folder.
        results: What the folder should hold.
        growing: Which of :data:`GROWING` the record must have.

    Raises:
        OutputError: There is no such record, or it is of results of another kind.
    """
    advice = "choose another folder or begin anew (--overwrite)"
    try:
        record: dict[str, Any] = json.loads((out / RECORD).read_text(encoding="utf-8"))
        other = record["format"] != results.format
        fits = other or all(isinstance(record[name], dict) for name in growing)
    except (OSError, ValueError, KeyError, TypeError):
        other = fits = False
    if other:
        raise OutputError(f"{out} holds results of another kind ({record['format']}); {advice}")
    if not fits:
        raise OutputError(f"{out} holds results, but no {RECORD} that says what they are; {advice}")
    return dict(record)


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
