"""The learning curve of a run: a table and a plot."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from diar_ops._errors import OptionError, OutputError
from diar_ops._files import atomic_path, read_lines, write_text_atomic

#: Name of the table in the folder of a run.
CURVE = "curve.csv"
#: Scores of restored pictures, by the end of their columns' names.
MEASURED = ("psnr", "ssim")

#: A row of the learning curve, by column.
Row = dict[str, float]
#: Columns of a learning curve by name, as long as the curve; NaN where a cell is empty.
Curve = dict[str, list[float]]


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


def read_curve(path: Path) -> Curve:
    """Read a learning curve as examples/train.py writes it.

    Raises:
        OutputError: It cannot be read, or is no such table.
    """
    lines = [line for line in read_lines(path) if line]
    columns = lines[0] if lines else []
    measured = [name for name in columns if name.endswith(tuple(f"_{m}" for m in MEASURED))]
    if "step" not in columns or "seconds" not in columns or not measured:
        raise OutputError(
            f"{path} is not the curve of a training: expected the columns step, seconds and scores "
            "of validation, such as rendered_psnr"
        )
    curve: Curve = {name: [] for name in columns}
    for number, line in enumerate(lines[1:], 2):
        try:
            for name, cell in zip(columns, line, strict=True):
                curve[name].append(float(cell or "nan"))
        except ValueError as error:
            raise OutputError(f"{path}, line {number} is damaged: {','.join(line)}") from error
    if not curve["step"]:
        raise OutputError(f"{path} has no rows yet; the first comes with the first validation")
    return curve


def read_curves(runs: Sequence[str | PathLike[str]]) -> dict[str, Curve]:
    """Read the curves of runs, by the names of their folders.

    Raises:
        OptionError: Two folders have one name.
        OutputError: Of :func:`read_curve`.
    """
    curves: dict[str, Curve] = {}
    for folder in map(Path, runs):
        name = folder.resolve().name
        if name in curves:
            raise OptionError(f"two runs are called {name}; rename the folder of one")
        curves[name] = read_curve(folder / CURVE)
    return curves
