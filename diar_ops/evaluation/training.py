"""Networks beside each other while they were trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from diar_ops.evaluation.plots import new_figure, save_figure
from diar_ops.evaluation.scores import DECIMALS, SCORES
from diar_ops.evaluation.tables import Table
from diar_ops.training.curve import MEASURED, Curve

__all__ = ["plot_curves", "training_table"]


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
