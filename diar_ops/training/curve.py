"""The learning curve: a table and a plot."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from diar_ops._files import atomic_path, write_text_atomic

__all__ = ["curve_figure", "plot_curve", "write_curve"]

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
