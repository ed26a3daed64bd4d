"""Curves over the levels of each factor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.quality.figures import draw_panels
from benchmarks.quality.robustness.cells import ALIGNED
from benchmarks.quality.robustness.factors import FACTORS
from benchmarks.quality.robustness.levels import LevelSummary
from benchmarks.quality.rows import group_by
from benchmarks.quality.scores import SCORES

COLUMNS = 3


class LevelCurve(NamedTuple):
    """A score of a method over the levels, and how it is drawn."""

    method: str
    score: str
    label: str
    colour: str
    style: str


def plot_reconstruction(path: Path, summaries: Sequence[LevelSummary]) -> None:
    """Draw PSNR after one colour gain against each factor, a panel each.

    Bands are 95 % intervals. Dashed: frames that :func:`align_sequence` aligned to the first.

    Args:
        path: Without ending: ``.png`` and ``.svg`` are written.
        summaries: Of all factors and methods.
    """
    methods = list(dict.fromkeys(s.method for s in summaries if "psnr_gain" in s.scores))
    curves = [LevelCurve(m, "psnr_gain", m, *_style(methods, m)) for m in methods]
    _plot(path, summaries, curves, SCORES["psnr_gain"].title, 1)


def plot_alignment(path: Path, summaries: Sequence[LevelSummary]) -> None:
    """Draw the share of frames within 3 px against each factor, a panel each.

    Dotted: the share of the photos of another picture that are called aligned.

    Args:
        path: Without ending: ``.png`` and ``.svg`` are written.
        summaries: Of all factors and methods.
    """
    methods = list(dict.fromkeys(s.method for s in summaries if "psnr" not in s.scores))
    curves = [LevelCurve(m, "below_3", m, f"C{i % 10}", "-") for i, m in enumerate(methods)]
    curves += [
        LevelCurve(m, "accepted_foreign", f"{m}: other picture taken for aligned", f"C{i % 10}", ":")
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
    path: Path, summaries: Sequence[LevelSummary], curves: Sequence[LevelCurve], title: str, scale: float
) -> None:
    """Draw curves times ``scale``, a panel per factor."""
    factors = group_by(summaries, lambda s: s.factor)
    size, margin = (3.1, 2.5), (0, 0.9)
    lines: dict[str, Any] = {}
    with draw_panels(path, len(factors), size, margin=margin, columns=COLUMNS) as (figure, panels):
        for axes, (name, levels) in zip(panels, factors.items(), strict=True):
            factor = FACTORS[name]
            for method, score, label, colour, style in curves:
                points = [
                    (s.measured * factor.scale, *(v * scale for v in s.scores[score]))
                    for s in levels
                    if s.method == method and score in s.scores
                ]
                if points:
                    x, means, low, high = zip(*points, strict=True)
                    (line,) = axes.plot(x, means, style, color=colour, marker=".", label=label)
                    axes.fill_between(x, low, high, color=colour, alpha=0.1, linewidth=0)
                    lines[label] = line
            axes.set_xlabel(f"{factor.words} [{factor.unit.strip()}]")
            axes.grid(alpha=0.3)
        for axes in panels[::COLUMNS]:
            axes.set_ylabel(title, fontsize="small")
        figure.legend(list(lines.values()), list(lines), loc="outside lower center", ncols=4, fontsize="small")
