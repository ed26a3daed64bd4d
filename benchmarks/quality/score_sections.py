"""Sections of the report: scores of reconstruction, costs of alignment, training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.quality.cases import choose_cases, picture_file
from benchmarks.quality.evaluation_page import Block, Section, case_pictures, write_section
from benchmarks.quality.record import PICTURES, StoredResults
from benchmarks.quality.result_tables import (
    Seconds,
    Table,
    comparison_csv,
    comparison_tables,
    count_words,
    summary_csv,
    summary_tables,
)
from benchmarks.quality.rows import Row, count_pictures, group_by
from benchmarks.quality.score_plots import measured_columns, plot_curves, plot_score, plot_score_boxes
from benchmarks.quality.scores import SCORES
from benchmarks.quality.summaries import compare_alignments, compare_methods, scores_of, summarise
from benchmarks.quality.training_curves import Curve

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
MEANS = ". Numbers are means over sequences, in brackets their 95 % intervals (bootstrap over pictures)."
PAIRED = (
    "Mean difference to the method under against, sequence by sequence, in brackets its 95 % "
    "interval (bootstrap over pictures), and on how many of the n sequences the method is better."
)


def describe_results(stored: StoredResults) -> str:
    """Return sets, numbers of sequences, pictures and frames, and methods of results in words."""
    sets = []
    for name, group in group_by(stored.rows, lambda row: row.set).items():
        count = count_words([count_pictures(group, stored.pictures)])
        frames = " ".join(map(str, sorted({row.frames for row in group})))
        sets.append(f"{name}: {count}, {frames} frames")
    methods = len({row.method for row in stored.rows})
    return f"{'; '.join(sets)}; {methods} method{'s' * (methods != 1)}"


def score_section(
    stored: StoredResults, figures: Path, *, against: str | None = None, cases: int = 1, seconds: Seconds | None = None
) -> Section:
    """Write tables and figures of scores, and return their section.

    Args:
        stored: The results, in a folder that is called as one of :data:`WORDS`; the files of
            :func:`write_section` are written there.
        figures: Folder of the figures, ``PART_SCORE.png`` and ``.svg``: scores against the number
            of frames, where a set has several.
        against: See :func:`compare_methods`.
        cases: How many worst, median and best sequences are shown, of those with a picture.
        seconds: What methods took, if it was measured.
    """
    folder, rows, record, pictures = stored
    disturbance = _describe_disturbance(record)
    summaries = summarise(rows, pictures)
    comparisons = compare_methods(rows, pictures, against)
    title, words = WORDS[folder.name]
    blocks = [Block("", "", summary_tables(summaries, seconds))]
    if comparisons:
        blocks.append(Block("Compared in pairs", PAIRED, comparison_tables(comparisons)))
    frames = {name: {s.frames for s in group} for name, group in group_by(summaries, lambda s: s.set).items()}
    several = [s for s in summaries if len(frames[s.set]) > 1]
    drawn = []
    for score in scores_of(rows) if several else ():
        path = figures / f"{folder.name}_{score}"
        plot_score(path, several, score)
        caption = f"{title}: {SCORES[score].title} against the number of frames, with the 95 % "
        drawn.append((path, caption + "intervals of the means."))
    section = Section(
        title,
        words + (f", then {disturbance}" if disturbance else "") + MEANS,
        blocks,
        drawn,
        case_pictures(
            choose_cases(rows, cases),
            lambda row: picture_file(folder / PICTURES, *row.key),
            partial(_case_caption, scores_of(rows)),
        ),
        "By PSNR, of the most frames. Above: the first, the middle and the last frame as the "
        "method got them; below: its picture, the label, and their difference, white from a "
        "quarter of white on.",
    )
    write_section(folder, section, summary_csv(summaries, seconds), comparison_csv(comparisons))
    return section


def _describe_disturbance(record: Mapping[str, Any]) -> str:
    """Return in words how frames were moved off their place."""
    words = []
    if record.get("jitter"):
        words.append(f"each moved by {record['jitter']:g} px")
    if record.get("misaligned"):
        words.append(f"{record['misaligned']} of each sequence moved by 5 to 30 % of its size")
    return " and ".join(words)


def _case_caption(scores: Sequence[str], row: Row) -> str:
    numbers = ", ".join(f"{SCORES[s].name} {SCORES[s].format(row.values[s])}" for s in scores)
    return f"{row.set}/{row.sequence}, {row.frames} frames: {numbers}"


def alignment_costs_section(exact: StoredResults, own: StoredResults, figures: Path) -> Section:
    """Draw exact and own alignment side by side, and return their section.

    Args:
        exact: Results of frames warped to the label by their exact homographies.
        own: Results of self-aligned frames; there may be none.
        figures: Folder of the figures, ``boxes_SCORE.png`` and ``.svg``.
    """
    pictures = {**exact.pictures, **own.pictures}
    parts = {"exact alignment": exact.rows, "own alignment": own.rows}
    parts = {part: rows for part, rows in parts.items() if rows}
    title = "Exact and own alignment" if len(parts) > 1 else "How scores are distributed"
    drawn = []
    for score in scores_of([*exact.rows, *own.rows]):
        path = figures / f"boxes_{score}"
        plot_score_boxes(path, parts, score, pictures)
        caption = f"{SCORES[score].title} of each method. Box: the middle half; line: the "
        drawn.append((path, caption + "median; whiskers: 5 and 95 % of all sequences."))
    costs = compare_alignments(exact.rows, own.rows, pictures)
    words = (
        "Own minus exact alignment, sequence by sequence; in brackets 95 % intervals (bootstrap "
        "over pictures), and on how many of the n sequences own alignment is better."
    )
    blocks = [Block("What own alignment costs", words, comparison_tables(costs))] if costs else []
    return Section(title, "The spread over sequences, at the most frames.", blocks, drawn)


def training_section(figures: Path, curves: Mapping[str, Curve]) -> Section:
    """Draw runs of training, and return their section.

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
    )


def training_table(curves: Mapping[str, Curve]) -> Table:
    """Return where each run ended: steps, hours, last and best scores of validation."""
    columns = measured_columns(curves)
    heads = ["run", "steps", "hours"]
    heads += [f"{SCORES[measure].title}, {name}: last (best)" for name, measure in columns]
    rows = []
    for name, curve in curves.items():
        cells = [name, f"{curve['step'][-1]:.0f}", f"{curve['seconds'][-1] / 3600:.2f}"]
        for validation, measure in columns:
            values = [v for v in curve.get(f"{validation}_{measure}", []) if not math.isnan(v)]
            text = SCORES[measure].format
            cells.append(f"{text(values[-1])} ({text(max(values))})" if values else "-")
        rows.append(cells)
    return Table("Runs of training", 1, heads, rows)
