"""Scores against the number of frames, and how they are distributed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.quality.methods import CLASSICAL, EXPOSURE
from benchmarks.quality.rows import Pictures, Scored
from benchmarks.quality.scores import LOWER_IS_BETTER, SCORES
from benchmarks.quality.summary import Summary, column, count_pictures
from benchmarks.quality.tables import counted
from diar_ops._files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["new_figure", "plot_score", "plot_score_boxes", "save_figure"]

#: Ends of whiskers, box, and the line in it, as shares of the values.
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
#: Where there are more numbers of frames, the axis names the round ones only.
MOST_TICKS, ROUND = 10, (1, 2, 3, 5, 10, 20, 30, 50, 100, 200)
#: Networks that have no colour of their own take these in turn.
_OTHERS = ("#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#e377c2", "#8c564b", "#17becf", "#bcbd22")
_COLOURS = {
    **dict(zip(CLASSICAL, ("#7f7f7f", "#e08214", "#35978f", "#6a51a3", "#a6761d"), strict=True)),
    "diar": "#000000",
}


def plot_score(path: Path, summaries: Sequence[Summary], score: str) -> None:
    """Draw the means of a score with their intervals against the number of frames.

    A panel per set.

    Args:
        path: Without ending: ``.png`` and ``.svg`` are written.
        summaries: Of all sets, methods and numbers of frames.
        score: Of :data:`SCORES`.
    """
    sets = list(dict.fromkeys(s.set for s in summaries))
    styles = _styles([s.method for s in summaries])
    figure, panels = new_figure(len(sets), (5.2, 4.6), margin=2.6)
    for axes, name in zip(panels, sets, strict=True):
        of_set = [s for s in summaries if s.set == name]
        ticks = sorted({s.frames for s in of_set})
        # Side by side, so that intervals do not hide each other.
        apart = min((b / a for a, b in pairwise(ticks)), default=1.5) ** (0.5 / len(styles))
        for number, (method, style) in enumerate(styles.items()):
            points = sorted((s.frames, s.scores[score]) for s in of_set if s.method == method)
            if not points:
                continue
            x = [p[0] * apart ** (number - (len(styles) - 1) / 2) for p in points]
            means = [p[1] for p in points]
            axes.plot(x, [m.mean for m in means], marker=".", label=method, **style)
            low, high = [m.low for m in means], [m.high for m in means]
            axes.vlines(x, low, high, color=style["color"], alpha=0.4, linewidth=1)
        axes.set(xlabel="frames", xscale="log")
        axes.set_title(
            f"{name}\n{counted((s.sequences, s.pictures) for s in of_set)}", fontsize="medium"
        )
        named = ticks if len(ticks) <= MOST_TICKS else [t for t in ticks if t in ROUND]
        axes.set_xticks(named, [str(t) for t in named])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    panels[0].set_ylabel(SCORES[score])
    # A method may have results of some sets only.
    lines = {line.get_label(): line for axes in panels for line in axes.get_lines()}
    figure.legend(
        [lines[m] for m in styles], list(styles), fontsize="small", loc="outside right upper"
    )
    save_figure(figure, path)


def plot_score_boxes(
    path: Path, parts: Mapping[str, Sequence[Scored]], score: str, pictures: Pictures | None = None
) -> None:
    """Draw a box per method: quartiles, whiskers at 5 and 95 % of all sequences.

    A panel per set, of the most frames that the methods of all parts were scored with.

    Args:
        path: Without ending: ``.png`` and ``.svg`` are written.
        parts: Results by what they are of, such as exact and own alignment: boxes side by side.
        score: Of :data:`SCORES`.
        pictures: What sequences show.
    """
    from matplotlib.patches import Patch

    sets = list(dict.fromkeys(row.set for rows in parts.values() for row in rows))
    methods = list(dict.fromkeys(row.method for rows in parts.values() for row in rows))
    height = 1.7 + 0.17 * len(methods) * (1 + len(parts))
    figure, panels = new_figure(len(sets), (4.6, height), margin=2.2)
    colours = dict(zip(parts, ("#8fb3cc", "#e0a35c", "#9bbf85"), strict=False))
    for axes, name in zip(panels, sets, strict=True):
        of_set = {part: [r for r in rows if r.set == name] for part, rows in parts.items()}
        of_set = {part: rows for part, rows in of_set.items() if rows}
        frames = max(
            set.intersection(*({r.frames for r in rows} for rows in of_set.values())), default=0
        )
        counts = []
        for number, part in enumerate(of_set):
            boxes, places = [], []
            for place, method in enumerate(methods):
                of = [r for r in of_set[part] if (r.method, r.frames) == (method, frames)]
                if of:
                    boxes.append(box(column(of, score), method))
                    places.append(-place + 0.36 * ((len(of_set) - 1) / 2 - number))
                    counts.append(count_pictures(of, pictures))
            axes.bxp(
                boxes,
                positions=places,
                widths=0.3,
                orientation="horizontal",
                showfliers=False,
                patch_artist=True,
                manage_ticks=False,
                boxprops={"facecolor": colours[part], "linewidth": 0.7},
                medianprops={"color": "black"},
            )
        axes.set_yticks([-place for place in range(len(methods))], methods)
        axes.set(
            xlabel=SCORES[score] + (", less is better" if score in LOWER_IS_BETTER else ""),
            ylim=(0.6 - len(methods), 0.6),
        )
        axes.set_title(f"{name}, {frames} frames\n{counted(counts)}", fontsize="medium")
        axes.grid(alpha=0.3, axis="x")
    if len(parts) > 1:
        handles = [Patch(facecolor=colours[part], edgecolor="black") for part in parts]
        figure.legend(
            handles, list(parts), fontsize="small", loc="outside lower center", ncols=len(parts)
        )
    save_figure(figure, path)


def box(values: Any, label: str) -> dict[str, Any]:
    """Return what matplotlib draws a box of: the :data:`QUANTILES` of (N,) values."""
    ends = values.quantile(values.new_tensor(QUANTILES), interpolation="nearest").tolist()
    keys = ("whislo", "q1", "med", "q3", "whishi")
    return {"label": label, "fliers": [], **dict(zip(keys, ends, strict=True))}


def new_figure(
    panels: int, size: tuple[float, float], *, margin: float = 1.0, sharey: bool = True
) -> tuple[Figure, list[Any]]:
    """Return a figure and its panels, side by side.

    Args:
        panels: How many.
        size: (width, height) of each, in inches.
        margin: Inches beside them, for words.
        sharey: Whether they have a common upright axis.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(margin + size[0] * panels, size[1]), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(1, panels, squeeze=False, sharey=sharey)[0])


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


def _styles(methods: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return how each method is drawn.

    A classical method has one colour, dotted without and dashed with a common exposure; networks
    are drawn through.
    """
    styles: dict[str, dict[str, Any]] = {}
    others = iter(_OTHERS * len(methods))
    for method in dict.fromkeys(methods):
        plain = method.removesuffix(EXPOSURE)
        if plain in CLASSICAL:
            line = ":" if plain == method else "--"
            styles[method] = {"color": _COLOURS[plain], "linestyle": line}
        else:
            colour = _COLOURS.get(method) or next(others)
            styles[method] = {"color": colour, "linestyle": "-"}
    return styles
