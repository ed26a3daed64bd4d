"""Scores against the number of frames, how they are distributed, and those of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.quality.figures import box, draw_legend, draw_panels
from benchmarks.quality.methods import CLASSICAL, EXPOSURE
from benchmarks.quality.result_tables import count_words
from benchmarks.quality.rows import Pictures, Row, column, count_pictures, group_by
from benchmarks.quality.scores import SCORES
from benchmarks.quality.summaries import Summary
from benchmarks.quality.training_curves import MEASURED, Curve

#: Where there are more numbers of frames, the axis names the round ones only.
MOST_TICKS, ROUND = 10, (1, 2, 3, 5, 10, 20, 30, 50, 100, 200)
#: Methods that have no colour of their own take these in turn.
_OTHERS = ("#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#e377c2", "#8c564b", "#17becf", "#bcbd22")
_COLOURS = {
    "mean": "#7f7f7f",
    "median": "#e08214",
    "rpca": "#35978f",
    "intrinsic": "#6a51a3",
    "consensus": "#a6761d",
    "soft_minimum": "#c51b7d",
    "diar": "#000000",
}
_BOX_COLOURS = ("#8fb3cc", "#e0a35c", "#9bbf85")


def plot_score(path: Path, summaries: Sequence[Summary], score: str) -> None:
    """Draw the means of a score with their intervals against the number of frames.

    A panel per set.

    Args:
        path: Without ending: ``.png`` and ``.svg`` are written.
        summaries: Of all sets, methods and numbers of frames.
        score: Of :data:`SCORES`.
    """
    sets = group_by(summaries, lambda s: s.set)
    styles = _styles([s.method for s in summaries])
    with draw_panels(path, len(sets), (5.2, 4.6), margin=(2.6, 0)) as (figure, panels):
        for axes, (name, group) in zip(panels, sets.items(), strict=True):
            ticks = sorted({s.frames for s in group})
            # Side by side, so that intervals do not hide each other.
            apart = min((b / a for a, b in pairwise(ticks)), default=1.5) ** (0.5 / len(styles))
            for number, (method, style) in enumerate(styles.items()):
                points = sorted((s.frames, s.scores[score]) for s in group if s.method == method)
                if points:
                    shift = apart ** (number - (len(styles) - 1) / 2)
                    _draw_means(axes, points, shift, method, style)
            axes.set(xlabel="frames", xscale="log")
            axes.set_title(f"{name}\n{count_words(s.size for s in group)}", fontsize="medium")
            labelled = ticks if len(ticks) <= MOST_TICKS else [t for t in ticks if t in ROUND]
            axes.set_xticks(labelled, [str(t) for t in labelled])
            axes.minorticks_off()
            axes.grid(alpha=0.3)
        panels[0].set_ylabel(SCORES[score].title)
        draw_legend(figure, panels, list(styles))


def _draw_means(axes: Any, points: Sequence[tuple[int, Any]], shift: float, label: str, style: dict[str, Any]) -> None:
    """Draw a line through (number of frames, mean) with intervals, frames times ``shift``."""
    x = [frames * shift for frames, _ in points]
    means, low, high = zip(*(mean for _, mean in points), strict=True)
    axes.plot(x, means, marker=".", label=label, **style)
    axes.vlines(x, low, high, color=style["color"], alpha=0.4, linewidth=1)


def plot_score_boxes(
    path: Path, parts: Mapping[str, Sequence[Row]], score: str, pictures: Pictures | None = None
) -> None:
    """Draw a box per method: quartiles, whiskers at 5 and 95 % of all sequences.

    A panel per set, of the most frames that the methods of all parts were scored with.

    Args:
        path: Without ending: ``.png`` and ``.svg`` are written.
        parts: Results by what they are of, such as exact and own alignment: boxes side by side.
        score: Of :data:`SCORES`.
        pictures: Which picture each sequence shows.
    """
    from matplotlib.patches import Patch

    rows = [row for results in parts.values() for row in results]
    sets, methods = ([*dict.fromkeys(getattr(r, name) for r in rows)] for name in ("set", "method"))
    colours = dict(zip(parts, _BOX_COLOURS, strict=False))
    measure = SCORES[score]
    size = 4.6, 1.7 + 0.17 * len(methods) * (1 + len(parts))
    with draw_panels(path, len(sets), size, margin=(2.2, 0)) as (figure, panels):
        for axes, name in zip(panels, sets, strict=True):
            selected = {p: [r for r in results if r.set == name] for p, results in parts.items()}
            selected = {part: results for part, results in selected.items() if results}
            common = set.intersection(*({r.frames for r in s} for s in selected.values()))
            frames = max(common, default=0)
            counts = []
            for number, (part, results) in enumerate(selected.items()):
                groups = group_by((r for r in results if r.frames == frames), lambda r: r.method)
                # In the order of the methods, whatever that of the rows is.
                groups = {method: groups[method] for method in methods if method in groups}
                shift = 0.36 * ((len(selected) - 1) / 2 - number)
                counts += [count_pictures(group, pictures) for group in groups.values()]
                axes.bxp(
                    [box(column(group, score), method) for method, group in groups.items()],
                    positions=[-methods.index(method) + shift for method in groups],
                    widths=0.3,
                    orientation="horizontal",
                    showfliers=False,
                    patch_artist=True,
                    manage_ticks=False,
                    boxprops={"facecolor": colours[part], "linewidth": 0.7},
                    medianprops={"color": "black"},
                )
            axes.set_yticks([-place for place in range(len(methods))], methods)
            note = ", less is better" if measure.lower_is_better else ""
            axes.set(xlabel=measure.title + note, ylim=(0.6 - len(methods), 0.6))
            axes.set_title(f"{name}, {frames} frames\n{count_words(counts)}", fontsize="medium")
            axes.grid(alpha=0.3, axis="x")
        if len(parts) > 1:
            figure.legend(
                [Patch(facecolor=colours[part], edgecolor="black") for part in parts],
                list(parts),
                fontsize="small",
                loc="outside lower center",
                ncols=len(parts),
            )


def plot_curves(path: Path, curves: Mapping[str, Curve]) -> None:
    """Draw the scores of validation against the steps of training, a line per run.

    Args:
        path: Without ending: ``.png`` and ``.svg`` are written.
        curves: Of :func:`read_curves`.
    """
    columns = measured_columns(curves)
    size, margin = (4.6, 4.2), (1.8, 0)
    with draw_panels(path, len(columns), size, margin=margin, sharey=False) as (figure, panels):
        for axes, (validation, measure) in zip(panels, columns, strict=True):
            for name, curve in curves.items():
                scores = curve.get(f"{validation}_{measure}")
                if scores is not None:
                    axes.plot(curve["step"], scores, marker=".", label=name)
            axes.set(xlabel="training step", ylabel=SCORES[measure].title)
            axes.set_title(f"validation: {validation}", fontsize="medium")
            axes.grid(alpha=0.3)
        figure.legend(*panels[0].get_legend_handles_labels(), fontsize="small", loc="outside right upper")


def measured_columns(curves: Mapping[str, Curve]) -> list[tuple[str, str]]:
    """Return (validation, measure) of what the curves have, in order of appearance."""
    names = dict.fromkeys(head for curve in curves.values() for head in curve)
    columns = [(name.rpartition("_")[0], m) for m in MEASURED for name in names if name.endswith(f"_{m}")]
    return list(dict.fromkeys(columns))


def _styles(methods: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return how each method is drawn.

    A classical method has one colour, dotted without and dashed with a common exposure; networks
    are drawn through.
    """
    styles: dict[str, dict[str, Any]] = {}
    others = iter(_OTHERS * len(methods))
    colours: dict[str, str] = {}
    for method in dict.fromkeys(methods):
        plain = method.removesuffix(EXPOSURE)
        line = "-" if plain not in CLASSICAL else ":" if plain == method else "--"
        if plain not in colours:
            colours[plain] = _COLOURS.get(plain) or next(others)
        styles[method] = {"color": colours[plain], "linestyle": line}
    return styles
