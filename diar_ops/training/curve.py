"""The learning curve of a run: a table and a plot."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from diar_ops._files import atomic_path, write_text_atomic

#: Name of the table in the folder of a run.
CURVE = "curve.csv"

#: A row of the learning curve, by column.
Row = dict[str, float]


def write_curve(path: Path, rows: Sequence[Row]) -> None:
    """Write rows, whose keys are the columns, as CSV; replaces the file in one step."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    for row in rows:
        table.writerow({name: f"{value:.7g}" for name, value in row.items()})
    write_text_atomic(path, text.getvalue(), overwrite=True)


class Line(NamedTuple):
    """A line of a plot: the values of all rows, or one value as a level."""

    label: str
    values: Sequence[float] | float
    style: str = "-"
    color: str | None = None


def column(rows: Sequence[Row], name: str) -> list[float]:
    """Return a column of the learning curve; NaN where a row lacks it."""
    return [row.get(name, float("nan")) for row in rows]


def plot_curve(path: Path, rows: Sequence[Row], lines: Sequence[Line], *, title: str, ylabel: str) -> None:
    """Plot scores over time and the loss over steps as PNG; replaces the file in one step.

    Args:
        path: The file.
        rows: Rows of the learning curve.
        lines: The scores, on the left.
        title: Of the figure.
        ylabel: What the scores are.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    FigureCanvasAgg(figure)
    quality, loss = figure.subplots(1, 2)
    hours = [seconds / 3600 for seconds in column(rows, "seconds")]
    for label, values, style, color in lines:
        if isinstance(values, float):
            quality.axhline(values, linestyle=style, color=color, label=label)
        else:
            quality.plot(hours, values, style, color=color, marker=".", label=label)
    quality.set(xlabel="hours of training", ylabel=ylabel)
    loss.plot(column(rows, "step"), column(rows, "loss"), marker=".")
    loss.set(xlabel="step", ylabel="training loss")
    for axes in (quality, loss):
        axes.grid(alpha=0.3)
    if quality.lines:
        quality.legend(fontsize="small")
    figure.suptitle(title)
    with atomic_path(path, overwrite=True) as temporary:
        figure.savefig(temporary, dpi=100, format="png")
