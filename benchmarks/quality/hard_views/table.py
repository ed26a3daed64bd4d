"""Results of pairs on disk, and their table against tilt and scale."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, TypeAlias

import torch

from benchmarks.quality.alignment.measures import FAR
from diar_ops._files import write_text_atomic

#: Below this mean error, in pixels, a pair counts as aligned.
CLOSE = 1.0
#: Bounds of the rows: of the angle between the views in degrees, of the scale.
ANGLES, SCALES = (50, 55, 60, 65, 70, 75), (1.0, 1.5, 2.0, 2.5, 3.0, 4.0)


class PairResult(NamedTuple):
    """What a method made of a pair.

    Attributes:
        pair: Its number.
        method: Its name.
        angle: Between the viewing directions, in degrees.
        scale: Magnification of the closer view over that of the other.
        success: Whether the method calls the pair aligned.
        error: Mean over what both show, in pixels of the photo that shows it smaller; infinite
            where it is refused.
        seconds: Of the processor.
    """

    pair: int
    method: str
    angle: float
    scale: float
    success: bool
    error: float
    seconds: float


def write_rows(path: Path, rows: Sequence[PairResult]) -> None:
    """Write all rows; the file is whole or as it was."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(PairResult._fields)
    success = PairResult._fields.index("success")
    writer.writerows((*row[:success], int(row.success), *row[success + 1 :]) for row in rows)
    write_text_atomic(path, text.getvalue(), overwrite=True)


def read_rows(path: Path) -> list[PairResult]:
    """Return the rows that :func:`write_rows` wrote; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return [
            PairResult(
                pair=int(row["pair"]),
                method=row["method"],
                angle=float(row["angle"]),
                scale=float(row["scale"]),
                success=row["success"] == "1",
                error=float(row["error"]),
                seconds=float(row["seconds"]),
            )
            for row in csv.DictReader(file)
        ]


_Choose: TypeAlias = Callable[[PairResult], bool]


def format_table(rows: Sequence[PairResult]) -> str:
    """Return the shares of pairs below a pixel against angle and scale, and what is wrong, in Markdown."""
    methods = list(dict.fromkeys(row.method for row in rows))
    lines = ["| | pairs | " + " | ".join(f"{name} < 1 px [%]" for name in methods) + " |"]
    lines.append("| --- | ---: |" + " ---: |" * len(methods))
    for words, choose in _groups():
        chosen = [[row for row in rows if row.method == name and choose(row)] for name in methods]
        if chosen and chosen[0]:
            shares = (f"{100 * sum(r.error < CLOSE for r in group) / max(1, len(group)):.0f}" for group in chosen)
            lines.append(f"| {words} | {len(chosen[0])} | " + " | ".join(shares) + " |")
    for words, measure in (
        ("median of those aligned [px]", _median),
        ("refused [%]", lambda group: f"{100 * sum(not r.success for r in group) / len(group):.0f}"),
        (f"accepted, off by {FAR:g} px", lambda group: str(sum(r.success and r.error > FAR for r in group))),
        ("seconds a pair", lambda group: f"{sum(r.seconds for r in group) / len(group):.1f}"),
    ):
        cells = (measure([row for row in rows if row.method == name]) for name in methods)
        lines.append(f"| {words} | | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _groups() -> list[tuple[str, _Choose]]:
    groups: list[tuple[str, _Choose]] = [("all", lambda row: True)]
    for low, high in pairwise(ANGLES):
        groups.append((f"{low} to {high}°", lambda row, a=low, b=high: a <= row.angle < b))  # type: ignore[misc]
    for least, most in pairwise(SCALES):
        groups.append((f"scale {least:g} to {most:g}", lambda row, a=least, b=most: a <= row.scale < b))  # type: ignore[misc]
    return groups


def _median(group: Sequence[PairResult]) -> str:
    errors = torch.tensor([row.error for row in group if row.error < CLOSE], dtype=torch.float64)
    return f"{float(errors.median()):.2f}" if len(errors) else ""
