"""One page of plots: ratios to the peers, now and in the last release, and how operations grow."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.last_release import WORSE, Change, verdict
from benchmarks.quality.figures import save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FASTER, SLOWER, FLAGGED = "#2b6a99", "#d98c1f", "#c62828"
#: Height of a ratio's line, and sizes of a panel of growth, in inches.
LINE, PANEL, COLUMNS = 0.19, (3.4, 2.3), 3


def draw_page(path: Path, rows: list[Change], growth: list[dict[str, Any]], title: str) -> None:
    """Draw all ratios and all series of growth of a run.

    Args:
        path: Without ending: ``.png`` and ``.svg`` are written.
        rows: The ratios.
        growth: Of :func:`benchmarks.scaling.growth_rows`.
        title: Where it was measured.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    quantities = list(dict.fromkeys(row["quantity"] for row in growth))
    lines = -(-len(quantities) // COLUMNS)
    heights = [max(1.0, LINE * len(rows)) * bool(rows), PANEL[1] * lines]
    figure = Figure(figsize=(PANEL[0] * COLUMNS, sum(heights) + 1.2), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{title}\n{verdict(rows)}", fontsize="small", wrap=True)
    parts = [height for height in heights if height]
    blocks = iter(figure.subfigures(len(parts), 1, height_ratios=parts, squeeze=False).flatten())
    if rows:
        _draw_ratios(next(blocks).subplots(), rows)
    if quantities:
        panels = next(blocks).subplots(lines, COLUMNS, squeeze=False).flatten()
        for axes, quantity in zip(panels, quantities, strict=False):
            _draw_growth(axes, [row for row in growth if row["quantity"] == quantity], quantity)
        for axes in panels[len(quantities) :]:
            axes.set_visible(False)
    save_figure(figure, path)


def _draw_ratios(axes: Axes, rows: list[Change]) -> None:
    """Draw a line a peer: a filled dot for this run, a ring for the last release, joined."""
    rows = sorted(rows, key=lambda row: row.now)
    for y, row in enumerate(rows):
        colour = FLAGGED if row.is_worse else FASTER if row.now >= 1 else SLOWER
        if row.before is not None:
            axes.plot([row.before, row.now], [y, y], color=colour, linewidth=1, zorder=1)
            axes.plot(row.before, y, "o", markerfacecolor="white", markeredgecolor="#777777", markersize=5, zorder=2)
        axes.plot(row.now, y, "o", color=colour, markersize=5, zorder=3)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [f"{row.case}: {row.peer}" for row in rows], fontsize="x-small")
    axes.set(xscale="log", ylim=(-0.7, len(rows) - 0.3))
    axes.set_xlabel(
        "time of the peer over ours: right of 1 ours is faster; ring: the last release; "
        f"red: more than {WORSE - 1:.0%} worse than there",
        fontsize="x-small",
    )
    axes.grid(axis="x", which="both", linewidth=0.3)


def _draw_growth(axes: Axes, rows: list[dict[str, Any]], quantity: str) -> None:
    from matplotlib.ticker import NullFormatter

    for row in rows:
        exponent = row["time"]["exponent"]
        words = "" if math.isnan(exponent) else f" ({exponent:.1f})"
        style = "-" if row["device"] == "cpu" else "--"
        axes.plot(row["sizes"], row["seconds"], f"o{style}", markersize=3, linewidth=1, label=f"{row['op']}{words}")
    axes.set(xscale="log", yscale="log")
    axes.set_title(f"s against {quantity}", fontsize="x-small")
    axes.tick_params(labelsize="xx-small")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_formatter(NullFormatter())
    axes.legend(fontsize="xx-small", frameon=False)
