"""What is written and shown of the scores of reconstruction, and of training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.quality.page import Block, CasePicture, Section, section_markdown
from benchmarks.quality.pictures import choose_cases, picture_file
from benchmarks.quality.plots import new_figure, plot_score, plot_score_boxes, save_figure
from benchmarks.quality.record import PICTURES
from benchmarks.quality.rows import Keyed, Pictures, Scored
from benchmarks.quality.scores import DECIMALS, SCORES
from benchmarks.quality.summary import (
    compare_alignments,
    compare_methods,
    count_pictures,
    scores_of,
    summarise,
)
from benchmarks.quality.tables import (
    Seconds,
    Table,
    comparison_csv,
    comparison_tables,
    counted,
    summary_csv,
    summary_tables,
)
from diar_ops._files import write_text_atomic
from diar_ops.training.curve import MEASURED, Curve

__all__ = [
    "alignment_costs_section",
    "describe_rows",
    "plot_curves",
    "score_section",
    "training_section",
    "training_table",
]

#: What the parts are called and what they measure.
WORDS = {
    "reconstruction": (
        "Reconstruction",
        "How close to the label is the picture that a method makes of the first frames of a "
        "sequence? Frames are laid over the label by their exact homographies",
    ),
    "self-aligned": (
        "Reconstruction of self-aligned frames",
        "How close to the label is the picture that a method makes of frames which align_sequence "
        "has laid over the first one, as for people who know no homographies? A frame that it "
        "refuses is left out",
    ),
}
#: Behind the words of a part.
MEANS = (
    ". Numbers are means over sequences, in brackets their 95 % intervals (bootstrap over "
    "pictures)."
)
PAIRED = (
    "Mean difference to the method under against, sequence by sequence, in brackets its 95 % "
    "interval (bootstrap over pictures), and on how many of the n sequences the method is better."
)


def describe_rows(rows: Sequence[Keyed], pictures: Pictures) -> str:
    """Return sets, numbers of sequences, pictures and frames, and methods of results in words."""
    said = []
    for name in dict.fromkeys(row.key.set for row in rows):
        of = [row for row in rows if row.key.set == name]
        frames = sorted({row.key.frames for row in of})
        said.append(
            f"{name}: {counted([count_pictures(of, pictures)])}, "
            f"{' '.join(map(str, frames))} frames"
        )
    methods = len({row.key.method for row in rows})
    return f"{'; '.join(said)}; {methods} method{'s' * (methods != 1)}"


def score_section(
    part: str,
    folder: Path,
    figures: Path,
    rows: Sequence[Scored],
    pictures: Pictures,
    *,
    against: str | None = None,
    cases: int = 1,
    seconds: Seconds | None = None,
    disturbed: str = "",
) -> Section:
    """Write tables and figures of scores, and return what there is to show.

    Args:
        part: Of :data:`WORDS`.
        folder: Where its results are; ``summary.md``, ``summary.csv`` and ``comparisons.csv`` are
            written there.
        figures: Folder of the figures, ``PART_SCORE.png`` and ``.svg``: scores against the number
            of frames, where a set has several.
        rows: All results to show.
        pictures: What sequences show.
        against: See :func:`compare_methods`.
        cases: How many worst, median and best sequences are shown, of those with a picture.
        seconds: What methods took, if it was measured.
        disturbed: How frames were moved off their place, in words.
    """
    summaries = summarise(rows, pictures)
    comparisons = compare_methods(rows, pictures, against)
    title, words = WORDS[part]
    blocks = [Block("", "", summary_tables(summaries, seconds))]
    if comparisons:
        blocks.append(Block("Compared in pairs", PAIRED, comparison_tables(comparisons)))
    drawn = []
    several = {
        name
        for name in {row.set for row in rows}
        if len({row.frames for row in rows if row.set == name}) > 1
    }
    for score in scores_of(rows) if several else ():
        path = figures / f"{part}_{score}"
        plot_score(path, [s for s in summaries if s.set in several], score)
        drawn.append(
            (
                path,
                f"{title}: {SCORES[score]} against the number of frames, with the 95 % "
                "intervals of the means.",
            )
        )
    shown: dict[str, list[CasePicture]] = {}
    for kind, row in choose_cases(rows, cases) if cases else ():
        file = picture_file(folder / PICTURES, row.key)
        if file.exists():
            numbers = ", ".join(
                f"{SCORES[s].split(' [')[0]} {getattr(row, s):.{DECIMALS[s]}f}"
                for s in scores_of(rows)
            )
            said = f"{row.set}/{row.sequence}, {row.frames} frames: {numbers}"
            shown.setdefault(row.method, []).append(CasePicture(kind, said, file))
    section = Section(
        title,
        words + (f", then {disturbed}" if disturbed else "") + MEANS,
        blocks,
        drawn,
        shown,
        "By PSNR, of the most frames. Above: the first, the middle and the last frame as the "
        "method got them; below: its picture, the label, and their difference, white from a "
        "quarter of white on.",
        [],
    )
    write_text_atomic(folder / "summary.md", section_markdown(section) + "\n", overwrite=True)
    write_text_atomic(folder / "summary.csv", summary_csv(summaries, seconds), overwrite=True)
    write_text_atomic(folder / "comparisons.csv", comparison_csv(comparisons), overwrite=True)
    return section


def alignment_costs_section(
    figures: Path, exact: Sequence[Scored], own: Sequence[Scored], pictures: Pictures
) -> Section:
    """Draw exact and own alignment side by side, and return what there is to show.

    Args:
        figures: Folder of the figures, ``boxes_SCORE.png`` and ``.svg``.
        exact: Results of frames laid over the label by their exact homographies.
        own: Results of self-aligned frames; there may be none.
        pictures: What sequences show.
    """
    parts = {"exact alignment": exact, "own alignment": own}
    parts = {part: rows for part, rows in parts.items() if rows}
    title = "Exact and own alignment" if len(parts) > 1 else "How scores are distributed"
    drawn = []
    for score in scores_of([*exact, *own]):
        path = figures / f"boxes_{score}"
        plot_score_boxes(path, parts, score, pictures)
        drawn.append(
            (
                path,
                f"{SCORES[score]} of each method. Box: the middle half; line: the "
                "median; whiskers: 5 and 95 % of all sequences.",
            )
        )
    costs = compare_alignments(exact, own, pictures)
    words = (
        "Own minus exact alignment, sequence by sequence; in brackets 95 % intervals (bootstrap "
        "over pictures), and on how many of the n sequences own alignment is better."
    )
    blocks = [Block("What own alignment costs", words, comparison_tables(costs))] if costs else []
    return Section(
        title, "The spread over sequences, at the most frames.", blocks, drawn, {}, "", []
    )


def training_section(figures: Path, curves: Mapping[str, Curve]) -> Section:
    """Draw runs of training, and return what there is to show.

    Args:
        figures: Folder of the figure, ``training.png`` and ``.svg``.
        curves: Of :func:`read_curves`.
    """
    path = figures / "training"
    plot_curves(path, curves)
    return Section(
        "Training",
        "Scores of validation while the networks were trained, as examples/train.py measured them.",
        [Block("", "", [training_table(curves)])],
        [(path, "Scores of validation against the steps of training.")],
        {},
        "",
        [],
    )


def plot_curves(path: Path, curves: Mapping[str, Curve]) -> None:
    """Draw the scores of validation against the steps of training, a line per run.

    Args:
        path: Without ending: ``.png`` and ``.svg`` are written.
        curves: Of :func:`read_curves`.
    """
    columns = _columns(curves)
    figure, panels = new_figure(len(columns), (4.6, 4.2), margin=1.8, sharey=False)
    for axes, (validation, measure) in zip(panels, columns, strict=True):
        for name, curve in curves.items():
            column = f"{validation}_{measure}"
            if column in curve:
                axes.plot(curve["step"], curve[column], marker=".", label=name)
        axes.set(xlabel="training step", ylabel=SCORES[measure])
        axes.set_title(f"validation: {validation}", fontsize="medium")
        axes.grid(alpha=0.3)
    figure.legend(
        *panels[0].get_legend_handles_labels(), fontsize="small", loc="outside right upper"
    )
    save_figure(figure, path)


def training_table(curves: Mapping[str, Curve]) -> Table:
    """Return where each run ended: steps, hours, last and best scores of validation."""
    columns = _columns(curves)
    heads = ["run", "steps", "hours"]
    heads += [f"{SCORES[m]}, {v}: last (best)" for v, m in columns]
    rows = []
    for name, curve in curves.items():
        cells = [name, f"{curve['step'][-1]:.0f}", f"{curve['seconds'][-1] / 3600:.2f}"]
        for validation, measure in columns:
            values = [v for v in curve.get(f"{validation}_{measure}", []) if not math.isnan(v)]
            digits = DECIMALS[measure]
            cells.append(f"{values[-1]:.{digits}f} ({max(values):.{digits}f})" if values else "-")
        rows.append(cells)
    return Table("Runs of training", 1, heads, rows)


def _columns(curves: Mapping[str, Curve]) -> list[tuple[str, str]]:
    """Return (validation, measure) of what the curves have, in order of appearance."""
    names = dict.fromkeys(head for curve in curves.values() for head in curve)
    found = [
        (name.rpartition("_")[0], m) for m in MEASURED for name in names if name.endswith(f"_{m}")
    ]
    return list(dict.fromkeys(found))
