"""Figures of panels side by side, written as PNG and SVG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diar_ops._files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

#: Ends of whiskers, box, and the line in it, as shares of the values.
QUANTILES = {"whislo": 0.05, "q1": 0.25, "med": 0.5, "q3": 0.75, "whishi": 0.95}


@contextmanager
def draw_panels(
    path: Path,
    count: int,
    size: tuple[float, float],
    *,
    margin: tuple[float, float] = (1.0, 0.0),
    columns: int | None = None,
    sharey: bool = True,
) -> Iterator[tuple[Figure, list[Any]]]:
    """Yield a figure and its panels to draw on, and write it as ``.png`` and ``.svg``.

    Args:
        path: Without ending.
        count: How many panels, side by side.
        size: (width, height) of each, in inches.
        margin: Inches beside and below them, for words.
        columns: Panels of a row; all by default. What is left over in the last row stays empty.
        sharey: Whether they have a common upright axis.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = columns or count
    rows = -(-count // columns)
    figure = Figure(figsize=(margin[0] + size[0] * columns, margin[1] + size[1] * rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = list(figure.subplots(rows, columns, squeeze=False, sharey=sharey).flatten())
    yield figure, panels[:count]
    for axes in panels[count:]:
        axes.set_visible(False)
    save_figure(figure, path)


def draw_legend(figure: Figure, panels: Sequence[Any], labels: Sequence[str]) -> None:
    """Explain the lines of all panels beside them; a panel may lack some."""
    lines = {line.get_label(): line for axes in panels for line in axes.get_lines()}
    figure.legend([lines[label] for label in labels], labels, fontsize="small", loc="outside right upper")


def box(values: Tensor, label: str) -> dict[str, Any]:
    """Return the statistics of (N,) values that matplotlib draws a box of."""
    shares = values.new_tensor([*QUANTILES.values()])
    ends = values.quantile(shares, interpolation="nearest").tolist()
    return {"label": label, "fliers": [], **dict(zip(QUANTILES, ends, strict=True))}


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as ``.png`` and ``.svg``; equal figures make equal files.

    Args:
        figure: What was drawn.
        path: Without ending.
    """
    import matplotlib as mpl

    # No date, no random names.
    for ending, metadata in ((".png", None), (".svg", {"Date": None})):
        with (
            mpl.rc_context({"svg.hashsalt": "diar_ops"}),
            atomic_path(path.with_name(path.name + ending), overwrite=True) as temporary,
        ):
            figure.savefig(temporary, dpi=120, format=ending[1:], metadata=metadata)
