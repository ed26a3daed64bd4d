"""How errors are distributed: box plots and cumulative curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.quality.alignment.score import AlignmentRow
from benchmarks.quality.plots import box, new_figure, save_figure
from benchmarks.quality.rows import Pictures
from benchmarks.quality.summary import count_pictures
from benchmarks.quality.tables import counted

__all__ = ["plot_boxes", "plot_cumulative"]

#: What can be drawn: its words and the range of its axis.
DRAWN = {
    "corner_error": ("corner error [px]", (1e-3, 1e3)),
    "distance": ("det-normalised distance", (1e-3, 1e3)),
}


def plot_boxes(
    path: Path, rows: Sequence[AlignmentRow], value: str, pictures: Pictures | None = None
) -> None:
    """Draw a box per method: quartiles, whiskers at 5 and 95 % of all frames.

    Frames that are refused count as infinite, at the upper end; their share stands above.

    Args:
        path: Without ending: ``.png`` and ``.svg`` are written.
        rows: Of one or several sets and methods.
        value: Of a row: ``"corner_error"`` or ``"distance"``.
        pictures: What sequences show.
    """
    title, (low, high) = DRAWN[value]
    groups, methods = _grouped(rows)
    width = max(3.2, 0.45 * len(methods))
    figure, panels = new_figure(len(groups), (1 + width, 5.2), margin=1.4)
    for axes, name in zip(panels, groups, strict=True):
        boxes: list[dict[str, Any]] = []
        for place, method in enumerate(methods):
            of = groups[name].get(method)
            if not of:
                continue
            boxes.append(box(_column(of, value).clamp(low, high), method))
            refused = sum(not row.success for row in of) / len(of)
            axes.text(place + 1, high * 1.15, f"{100 * refused:.0f}", ha="center", fontsize="small")
        axes.bxp(boxes, positions=[methods.index(b["label"]) + 1 for b in boxes], showfliers=False)
        axes.set(yscale="log", ylim=(low, high))
        axes.set_title(f"{_counted(name, groups[name], pictures)}\n\n", fontsize="medium")
        axes.text(0.5, 1.06, "refused [%]", ha="center", fontsize="small", transform=axes.transAxes)
        axes.set_xticks(range(1, len(methods) + 1), methods, rotation=60, ha="right")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel(title)
    save_figure(figure, path)


def plot_cumulative(
    path: Path, rows: Sequence[AlignmentRow], pictures: Pictures | None = None
) -> None:
    """Draw the share of all frames below every corner error, a curve per method.

    Args:
        path: Without ending: ``.png`` and ``.svg`` are written.
        rows: Of one or several sets and methods.
        pictures: What sequences show.
    """
    groups, methods = _grouped(rows)
    figure, panels = new_figure(len(groups), (5.2, 4.6), margin=2.4)
    for axes, name in zip(panels, groups, strict=True):
        for number, method in enumerate(methods):
            of = groups[name].get(method)
            if of:
                errors = _column(of, "corner_error").sort().values
                shares = torch.arange(1, len(errors) + 1) / len(errors)
                style = ("-", "--", ":")[number // 10 % 3]
                axes.step(
                    errors.clamp(1e-3, 1e9).tolist(),
                    (100 * shares).tolist(),
                    style,
                    where="post",
                    color=f"C{number % 10}",
                    label=method,
                )
        axes.set(xscale="log", xlim=(3e-3, 100), ylim=(0, 101), xlabel=DRAWN["corner_error"][0])
        axes.set_title(_counted(name, groups[name], pictures), fontsize="medium")
        axes.grid(alpha=0.3, which="both")
    panels[0].set_ylabel("frames below [%]")
    # A method may have results of some sets only.
    lines = {line.get_label(): line for axes in panels for line in axes.get_lines()}
    figure.legend([lines[m] for m in methods], methods, fontsize="small", loc="outside right upper")
    save_figure(figure, path)


def _grouped(
    rows: Sequence[AlignmentRow],
) -> tuple[dict[str, dict[str, list[AlignmentRow]]], list[str]]:
    """Return rows by set and method, and the methods."""
    groups: dict[str, dict[str, list[AlignmentRow]]] = {}
    for row in rows:
        groups.setdefault(row.set, {}).setdefault(row.method, []).append(row)
    return groups, list(dict.fromkeys(row.method for row in rows))


def _counted(name: str, methods: dict[str, list[AlignmentRow]], pictures: Pictures | None) -> str:
    """Return a set, and how many sequences and frames of it there are, in words."""
    many = counted(count_pictures(of, pictures) for of in methods.values())
    frames = " or ".join(map(str, sorted({len(of) for of in methods.values()})))
    return f"{name}\n{many}, {frames} frames"


def _column(rows: Sequence[AlignmentRow], value: str) -> Tensor:
    return torch.tensor([getattr(row, value) for row in rows], dtype=torch.float64)
