"""The manifest of a batch: all records as one table to read, and as a database to ask."""

from __future__ import annotations

import csv
import io
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from diar_ops._files import atomic_path, write_text_atomic
from diar_ops.batch.inventory import printable
from diar_ops.batch.record import Record
from diar_ops.batch.storage import Storage

CSV, SQLITE = "manifest.csv", "manifest.sqlite"
_COLUMNS = {
    "sequence": "TEXT PRIMARY KEY",
    "name": "TEXT",
    "verdict": "TEXT",
    "photos": "INTEGER",
    "aligned": "INTEGER",
    "covered": "REAL",
    "psnr": "REAL",
    "seconds": "REAL",
    "finished": "TEXT",
    "version": "TEXT",
    "reasons": "TEXT",
}
_TABLES = (
    f"CREATE TABLE sequences ({', '.join(f'{name} {kind}' for name, kind in _COLUMNS.items())})",
    "CREATE TABLE photos (sequence TEXT, file TEXT, aligned INTEGER, reason TEXT, why TEXT)",
    "CREATE TABLE files (sequence TEXT, role TEXT, file TEXT, size INTEGER, sha256 TEXT)",
    "CREATE TABLE timings (sequence TEXT, step TEXT, seconds REAL)",
)


def write_manifest(out: Storage, records: Sequence[Record]) -> None:
    """Write ``manifest.csv``, a line per sequence, and ``manifest.sqlite``.

    The database has the tables ``sequences``, as the CSV; ``photos``, a verdict on each;
    ``files``, sizes and SHA-256 of inputs and outputs; and ``timings``, seconds of each step.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(_row(record) for record in records)
    if out.local is not None:
        write_text_atomic(out.local / CSV, text.getvalue(), overwrite=True)
        with atomic_path(out.local / SQLITE, overwrite=True) as path:
            _write_database(path, records)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, SQLITE)
        _write_database(path, records)
        out.put(path, SQLITE)
    out.write_text(CSV, text.getvalue())


def _row(record: Record) -> tuple[str | int | float | None, ...]:
    return (
        printable(record.key),
        record.name,
        record.verdict.value,
        len(record.inputs),
        record.aligned,
        round(record.covered, 6),
        record.scores.get("psnr"),
        round(sum(record.timings.values()), 3),
        record.finished,
        record.version,
        printable("; ".join(record.reasons)),
    )


def _write_database(path: Path, records: Sequence[Record]) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        for table in _TABLES:
            database.execute(table)
        places = ", ".join("?" * len(_COLUMNS))
        database.executemany(f"INSERT INTO sequences VALUES ({places})", map(_row, records))  # noqa: S608
        database.executemany("INSERT INTO photos VALUES (?, ?, ?, ?, ?)", _photos(records))
        database.executemany("INSERT INTO files VALUES (?, ?, ?, ?, ?)", _files(records))
        steps = ((printable(r.key), step, seconds) for r in records for step, seconds in r.timings.items())
        database.executemany("INSERT INTO timings VALUES (?, ?, ?)", steps)


def _photos(records: Sequence[Record]) -> Iterator[tuple[object, ...]]:
    for record in records:
        for photo in record.photos:
            file, why = printable(photo["file"]), printable(photo["why"])
            yield printable(record.key), file, int(photo["aligned"]), photo["reason"], why


def _files(records: Sequence[Record]) -> Iterator[tuple[object, ...]]:
    for record in records:
        for role, files in (("input", record.inputs), ("output", record.outputs)):
            for name, file in files.items():
                yield printable(record.key), role, printable(name), file["size"], file.get("sha256")
