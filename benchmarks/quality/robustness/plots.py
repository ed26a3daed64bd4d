"""Curves over the levels of each factor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.quality.plots import save_figure
from benchmarks.quality.robustness.plan import FACTORS
from benchmarks.quality.robustness.score import ALIGNED
from benchmarks.quality.robustness.summary import LevelSummary
from benchmarks.quality.scores import SCORES

__all__ = ["plot_alignment", "plot_reconstruction"]

COLUMNS = 3


def plot_reconstruction(path: Path, summaries: Sequence[LevelSummary]) -> None:
    """Draw PSNR after one colour gain against each factor, a panel each.

    Bands are 95 % intervals. Dashed: frames that :func:`align_sequence` laid over the first.

    Args:
        path: Without ending: ``.png`` and ``.svg`` are written.
        summaries: Of all factors and methods.
    """
    methods = list(dict.fromkeys(s.method for s in summaries if "psnr_gain" in s.scores))
    curves = [(method, "psnr_gain", method, *_style(methods, method)) for method in methods]
    _plot(path, summaries, curves, SCORES["psnr_gain"], 1)


def plot_alignment(path: Path, summaries: Sequence[LevelSummary]) -> None:
    """Draw the share of frames within 3 px against each factor, a panel each.

    Dotted: the share of the photos of another picture that are called aligned.

    Args:
        path: Without ending: ``.png`` and ``.svg`` are written.
        summaries: Of all factors and methods.
    """
    methods = list(dict.fromkeys(s.method for s in summaries if "psnr" not in s.scores))
    curves = [(m, "below_3", m, f"C{i % 10}", "-") for i, m in enumerate(methods)]
    curves += [
        (m, "accepted_foreign", f"{m}: other picture taken for aligned", f"C{i % 10}", ":")
        for i, m in enumerate(methods)
        if any(s.method == m and "accepted_foreign" in s.scores for s in summaries)
    ]
    _plot(path, summaries, curves, "frames within 3 px [%]", 100)


def _style(methods: Sequence[str], method: str) -> tuple[str, str]:
    """Return colour and line: a method looks the same on frames of either alignment."""
    plain = list(dict.fromkeys(m.removesuffix(ALIGNED) for m in methods))
    colour = f"C{plain.index(method.removesuffix(ALIGNED)) % 10}"
    return colour, "--" if method.endswith(ALIGNED) else "-"


def _plot(
    path: Path,
    summaries: Sequence[LevelSummary],
    curves: Sequence[tuple[str, str, str, str, str]],
    words: str,
    scale: float,
) -> None:
    """Draw curves (method, score, label, colour, style), a panel per factor."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    factors = list(dict.fromkeys(s.factor for s in summaries))
    rows = -(-len(factors) // COLUMNS)
    figure = Figure(figsize=(3.1 * COLUMNS, 0.9 + 2.5 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, COLUMNS, squeeze=False, sharey=True).flatten()
    lines: dict[str, Any] = {}
    for axes, name in zip(panels, factors, strict=False):
        factor = FACTORS[name]
        for method, score, label, colour, style in curves:
            points = [
                (s.measured * factor.scale, *(v * scale for v in s.scores[score]))
                for s in summaries
                if (s.factor, s.method) == (name, method) and score in s.scores
            ]
            if points:
                x, means, low, high = zip(*points, strict=True)
                (lines[label],) = axes.plot(x, means, style, color=colour, marker=".", label=label)
                axes.fill_between(x, low, high, color=colour, alpha=0.1, linewidth=0)
        axes.set_xlabel(f"{factor.words} [{factor.unit.strip()}]")
        axes.grid(alpha=0.3)
    for axes in panels[len(factors) :]:
        axes.set_visible(False)
    for axes in panels[::COLUMNS]:
        axes.set_ylabel(words, fontsize="small")
    figure.legend(
        list(lines.values()), list(lines), loc="outside lower center", ncols=4, fontsize="small"
    )
    save_figure(figure, path)
