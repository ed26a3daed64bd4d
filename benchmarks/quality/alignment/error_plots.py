"""How errors of alignment are distributed: box plots and cumulative curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.quality.figures import box, draw_legend, draw_panels
from benchmarks.quality.result_tables import count_words
from benchmarks.quality.rows import Pictures, Row, column, count_pictures, group_by

#: What can be drawn, and its title.
TITLES = {"corner_error": "corner error [px]", "distance": "det-normalised distance"}
#: Ends of the axis of box plots.
LOW, HIGH = 1e-3, 1e3


def plot_boxes(path: Path, rows: Sequence[Row], value: str, pictures: Pictures | None = None) -> None:
    """Draw a box per method: quartiles, whiskers at 5 and 95 % of all frames.

    Frames that are refused count as infinite, at the upper end; their share stands above.

    Args:
        path: Without ending: ``.png`` and ``.svg`` are written.
        rows: Of one or several sets and methods.
        value: Of a row: ``"corner_error"`` or ``"distance"``.
        pictures: Which picture each sequence shows.
    """
    sets, methods = _group(rows)
    size = 1 + max(3.2, 0.45 * len(methods)), 5.2
    with draw_panels(path, len(sets), size, margin=(1.4, 0)) as (_, panels):
        for axes, (name, groups) in zip(panels, sets.items(), strict=True):
            boxes: list[dict[str, Any]] = []
            places = [place for place, method in enumerate(methods, 1) if method in groups]
            for place in places:
                group = groups[methods[place - 1]]
                boxes.append(box(column(group, value).clamp(LOW, HIGH), methods[place - 1]))
                refused = sum(not row.values["success"] for row in group) / len(group)
                axes.text(place, HIGH * 1.15, f"{100 * refused:.0f}", ha="center", fontsize="small")
            axes.bxp(boxes, positions=places, showfliers=False)
            axes.set(yscale="log", ylim=(LOW, HIGH))
            axes.set_title(f"{_count(name, groups, pictures)}\n\n", fontsize="medium")
            axes.text(0.5, 1.06, "refused [%]", ha="center", fontsize="small", transform=axes.transAxes)
            axes.set_xticks(range(1, len(methods) + 1), methods, rotation=60, ha="right")
            axes.grid(alpha=0.3)
        panels[0].set_ylabel(TITLES[value])


def plot_cumulative(path: Path, rows: Sequence[Row], pictures: Pictures | None = None) -> None:
    """Draw the share of all frames below every corner error, a curve per method.

    Args:
        path: Without ending: ``.png`` and ``.svg`` are written.
        rows: Of one or several sets and methods.
        pictures: Which picture each sequence shows.
    """
    sets, methods = _group(rows)
    with draw_panels(path, len(sets), (5.2, 4.6), margin=(2.4, 0)) as (figure, panels):
        for axes, (name, groups) in zip(panels, sets.items(), strict=True):
            for number, method in enumerate(methods):
                if method in groups:
                    errors = column(groups[method], "corner_error").sort().values
                    shares = torch.arange(1, len(errors) + 1) / len(errors)
                    axes.step(
                        errors.clamp(1e-3, 1e9).tolist(),
                        (100 * shares).tolist(),
                        ("-", "--", ":")[number // 10 % 3],
                        where="post",
                        color=f"C{number % 10}",
                        label=method,
                    )
            axes.set(xscale="log", xlim=(3e-3, 100), ylim=(0, 101), xlabel=TITLES["corner_error"])
            axes.set_title(_count(name, groups, pictures), fontsize="medium")
            axes.grid(alpha=0.3, which="both")
        panels[0].set_ylabel("frames below [%]")
        draw_legend(figure, panels, methods)


def _group(rows: Sequence[Row]) -> tuple[dict[str, dict[str, list[Row]]], list[str]]:
    """Return rows by set and method, and the methods."""
    sets = {
        name: group_by(group, lambda row: row.method) for name, group in group_by(rows, lambda row: row.set).items()
    }
    return sets, list(dict.fromkeys(row.method for row in rows))


def _count(name: str, methods: dict[str, list[Row]], pictures: Pictures | None) -> str:
    """Return a set, and how many sequences and frames of it there are, in words."""
    sequences = count_words(count_pictures(group, pictures) for group in methods.values())
    frames = " or ".join(map(str, sorted({len(group) for group in methods.values()})))
    return f"{name}\n{sequences}, {frames} frames"
