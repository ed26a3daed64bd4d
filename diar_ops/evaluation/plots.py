"""A score against the number of frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from diar_ops.data import atomic_path
from diar_ops.evaluation.methods import CLASSICAL, EXPOSURE
from diar_ops.evaluation.scores import SCORES
from diar_ops.evaluation.summary import Summary

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_score", "save_figure"]


def plot_score(path: Path, summaries: Sequence[Summary], score: str) -> None:
    """Draw the means of a score with their intervals, one panel per set.

    Args:
        path: Without ending: ``.png`` and ``.svg`` are written.
        summaries: Of all sets, methods and numbers of frames.
        score: Of :data:`SCORES`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sets = list(dict.fromkeys(s.set for s in summaries))
    methods = list(dict.fromkeys(s.method for s in summaries))
    figure = Figure(figsize=(1.5 + 4.8 * len(sets), 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(sets), squeeze=False, sharey=True)[0]
    for axes, name in zip(panels, sets, strict=True):
        ticks: set[int] = set()
        for number, method in enumerate(methods):
            points = sorted(
                (s.frames, s.scores[score])
                for s in summaries
                if s.set == name and s.method == method
            )
            if not points:
                continue
            x, means = [p[0] for p in points], [p[1] for p in points]
            colour, style = f"C{number % 10}", "--" if _is_classical(method) else "-"
            axes.plot(x, [m.mean for m in means], style, color=colour, marker=".", label=method)
            low, high = [m.low for m in means], [m.high for m in means]
            axes.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0)
            ticks |= set(x)
        axes.set(xlabel="frames", title=name, xscale="log")
        axes.set_xticks(sorted(ticks), [str(t) for t in sorted(ticks)])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    panels[0].set_ylabel(SCORES[score])
    panels[-1].legend(fontsize="small")
    save_figure(figure, path)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as ``.png`` and ``.svg``; equal figures make equal files.

    Args:
        figure: What was drawn.
        path: Without ending.
    """
    import matplotlib as mpl

    # No date, no random names.
    plain = {"Date": None}
    for ending, metadata in ((".png", None), (".svg", plain)):
        with (
            mpl.rc_context({"svg.hashsalt": "diar_ops"}),
            atomic_path(path.with_name(path.name + ending), overwrite=True) as temporary,
        ):
            figure.savefig(temporary, dpi=120, format=ending[1:], metadata=metadata)


def _is_classical(method: str) -> bool:
    return method.removesuffix(EXPOSURE) in CLASSICAL
