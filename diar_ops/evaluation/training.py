"""Networks beside each other while they were trained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

from diar_ops._errors import OptionError, OutputError
from diar_ops._files import read_lines
from diar_ops.evaluation.plots import new_figure, save_figure
from diar_ops.evaluation.scores import DECIMALS, SCORES
from diar_ops.evaluation.tables import Table

__all__ = ["CURVE", "Curve", "plot_curves", "read_curve", "read_curves", "training_table"]

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


def plot_curves(path: Path, curves: Mapping[str, Curve]) -> None:
    """Draw the scores of validation against the steps of training, a line per run.

    Args:
        path: Without ending: ``.png`` and ``.svg`` are written.
        curves: Of :func:`read_curves`.
    """
    columns = _columns(curves)
    figure, panels = new_figure(len(columns), (4.6, 4.2), margin=1.8, sharey=False)
    for axes, (validation, measure) in zip(panels, columns, strict=True):
        for name, curve in curves.items():
            column = f"{validation}_{measure}"
            if column in curve:
                axes.plot(curve["step"], curve[column], marker=".", label=name)
        axes.set(xlabel="training step", ylabel=SCORES[measure])
        axes.set_title(f"validation: {validation}", fontsize="medium")
        axes.grid(alpha=0.3)
    figure.legend(*panels[0].get_legend_handles_labels(), fontsize="small",
                  loc="outside right upper")  # fmt: skip
    save_figure(figure, path)


def training_table(curves: Mapping[str, Curve]) -> Table:
    """Return where each run ended: steps, hours, last and best scores of validation."""
    columns = _columns(curves)
    heads = ["run", "steps", "hours"]
    heads += [f"{SCORES[m]}, {v}: last (best)" for v, m in columns]
    rows = []
    for name, curve in curves.items():
        cells = [name, f"{curve['step'][-1]:.0f}", f"{curve['seconds'][-1] / 3600:.2f}"]
        for validation, measure in columns:
            values = [v for v in curve.get(f"{validation}_{measure}", []) if not math.isnan(v)]
            digits = DECIMALS[measure]
            cells.append(f"{values[-1]:.{digits}f} ({max(values):.{digits}f})" if values else "-")
        rows.append(cells)
    return Table("Runs of training", 1, heads, rows)


def _columns(curves: Mapping[str, Curve]) -> list[tuple[str, str]]:
    """Return (validation, measure) of what the curves have, in order of appearance."""
    names = dict.fromkeys(head for curve in curves.values() for head in curve)
    found = [(name.rpartition("_")[0], m) for m in MEASURED for name in names
             if name.endswith(f"_{m}")]  # fmt: skip
    return list(dict.fromkeys(found))
