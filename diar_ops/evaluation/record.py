"""What a folder of results was made with: rows of other settings must not be mixed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import diar_ops
from diar_ops._errors import OutputError
from diar_ops.data import DOCUMENT, write_text_atomic
from diar_ops.evaluation.disturbance import Disturbance
from diar_ops.evaluation.methods import Method
from diar_ops.evaluation.rows import Row, read_rows, write_rows

__all__ = ["RECORD", "TABLE", "continue_results", "settings_record"]

RECORD, TABLE = "settings.json", "scores.csv"
#: Files that must not be replaced where no record says that they are results.
RESULTS = (TABLE, "summary.md", "summary.csv", "psnr.png", "psnr.svg", "ssim.png", "ssim.svg")
FORMAT = "diar_ops evaluation"
#: Settings that grow: more sets and networks may join, those that are there must be the same.
GROWING = ("sets", "weights")


def settings_record(
    sets: Mapping[str, Path], methods: Sequence[Method], disturbance: Disturbance
) -> dict[str, Any]:
    """Return all that rows depend on beside what they name.

    Args:
        sets: The folder of the first sequence of each set, by the name of the set.
        methods: What is evaluated.
        disturbance: Of the alignment.
    """
    return {
        "format": FORMAT,
        "version": diar_ops.__version__,
        "jitter": float(disturbance.jitter),
        "misaligned": disturbance.misaligned,
        "sets": {
            name: hashlib.sha256((folder / DOCUMENT).read_bytes()).hexdigest()
            for name, folder in sets.items()
        },
        "weights": {method.name: method.digest for method in methods if method.digest},
    }


def continue_results(out: Path, record: dict[str, Any], *, overwrite: bool) -> list[Row]:
    """Return the rows that a folder already holds, and write the record of it.

    Args:
        out: The folder of the results; it need not exist.
        record: A :func:`settings_record`.
        overwrite: Begin anew, whatever is there.

    Raises:
        OutputError: The folder holds results of other settings or none that can be continued, or
            cannot be written.
    """
    path, rows = out / RECORD, []
    if not overwrite and any((out / name).exists() for name in (RECORD, *RESULTS)):
        before = _read(path)
        _check_same(out, before, record)
        record = {**record, **{name: {**before[name], **record[name]} for name in GROWING}}
        rows = read_rows(out / TABLE) if (out / TABLE).exists() else []
    elif overwrite and (out / TABLE).is_file():
        write_rows(out / TABLE, [])  # before the record: old rows never stand beside a new one
    write_text_atomic(path, json.dumps(record, indent=1) + "\n", overwrite=True)
    return rows


def _read(path: Path) -> dict[str, Any]:
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        fits = before["format"] == FORMAT and all(isinstance(before[n], dict) for n in GROWING)
    except (OSError, ValueError, KeyError, TypeError):
        fits = False
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
    for name, what in zip(GROWING, ("another set called", "other weights called"), strict=True):
        shared = before[name].keys() & now[name].keys()
        changes += [f"{what} {n}" for n in sorted(shared) if before[name][n] != now[name][n]]
    if changes:
        raise OutputError(
            f"{out} holds results of other settings ({', '.join(changes)}); choose another folder "
            f"or begin anew (--overwrite)"
        )
