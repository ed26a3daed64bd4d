"""The learning curve of a descriptor, beside those that it is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from diar_ops.training.curve import Row, curve_figure
from diar_ops.training.descriptors.validation import DESCRIPTOR_SCORES

__all__ = ["plot_descriptor_curve"]

STYLES = dict(zip(DESCRIPTOR_SCORES, ("-", "--"), strict=True))


def plot_descriptor_curve(
    path: Path, rows: Sequence[Row], rivals: Mapping[str, Mapping[str, float]]
) -> None:
    """Plot scores and loss as PNG, the scores of rivals as level lines."""
    with curve_figure(path, rows, title="DualDescriptor", ylabel="share") as (axes, hours):
        for score, style in STYLES.items():
            values = [row.get(score, float("nan")) for row in rows]
            axes.plot(hours, values, style, color="C0", marker=".", label=score)
        for number, (name, scores) in enumerate(rivals.items(), start=1):
            for score, style in STYLES.items():
                axes.axhline(
                    scores[score], linestyle=style, color=f"C{number}", label=f"{name}, {score}"
                )
