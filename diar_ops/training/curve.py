"""The learning curve: a table and a plot."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

from diar_ops._errors import OptionError, OutputError
from diar_ops._files import atomic_path, read_lines, write_text_atomic

__all__ = [
    "CURVE",
    "Curve",
    "curve_figure",
    "plot_curve",
    "read_curve",
    "read_curves",
    "write_curve",
]

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


def plot_curve(path: Path, rows: Sequence[Row], *, title: str = "") -> None:
    """Plot validation and loss over steps and time as PNG; replaces the file in one step."""
    names = [n for n in (rows[-1] if rows else {}) if "_psnr" in n]
    with curve_figure(path, rows, title=title, ylabel="PSNR [dB]") as (quality, hours):
        for name in names:
            style = "--" if name.endswith("_gain") else "-"
            values = [row.get(name, float("nan")) for row in rows]
            quality.plot(hours, values, style, marker=".", label=name.replace("_", " "))


@contextmanager
def curve_figure(
    path: Path, rows: Sequence[Row], *, title: str, ylabel: str
) -> Iterator[tuple[Any, list[float]]]:
    """Write a figure with the loss on the right and, on the left, what is drawn meanwhile.

    Yields:
        The axes on the left, and the hours of training of every row.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    FigureCanvasAgg(figure)
    quality, loss = figure.subplots(1, 2)
    yield quality, [row["seconds"] / 3600 for row in rows]
    quality.set(xlabel="hours of training", ylabel=ylabel)
    loss.plot([row["step"] for row in rows], [row["loss"] for row in rows], marker=".")
    loss.set(xlabel="step", ylabel="training loss")
    for axes in (quality, loss):
        axes.grid(alpha=0.3)
    if quality.lines:
        quality.legend(fontsize="small")
    figure.suptitle(title)
    with atomic_path(path, overwrite=True) as temporary:
        figure.savefig(temporary, dpi=100, format="png")


#: Name of the table that examples/train.py writes into the folder of a run.
CURVE = "curve.csv"


#: What of a curve is drawn and told.
MEASURED = ("psnr", "ssim")


#: Columns of a curve by name, as long as the curve; NaN where a cell is empty.
Curve = dict[str, list[float]]


def read_curve(path: Path) -> Curve:
    """Read a learning curve as examples/train.py writes it.

    Raises:
        OutputError: It cannot be read, or is no such table.
    """
    lines = [line for line in read_lines(path) if line]
    heads = lines[0] if lines else []
    measured = [head for head in heads if head.endswith(tuple(f"_{m}" for m in MEASURED))]
    if "step" not in heads or "seconds" not in heads or not measured:
        raise OutputError(
            f"{path} is not the curve of a training: expected the columns step, seconds and scores "
            "of validation, such as rendered_psnr"
        )
    curve: Curve = {head: [] for head in heads}
    for number, line in enumerate(lines[1:], 2):
        try:
            for head, cell in zip(heads, line, strict=True):
                curve[head].append(float(cell or "nan"))
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
