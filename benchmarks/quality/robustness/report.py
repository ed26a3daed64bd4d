"""What is written of an evaluation of robustness, beside its table of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch

from benchmarks.quality.methods import Method
from benchmarks.quality.robustness.photos import choose_pictures, take_photos
from benchmarks.quality.robustness.plan import (
    ALIGNMENT_SCORES,
    FACTORS,
    PICTURE_SCORES,
    ROBUSTNESS,
    RobustnessRow,
)
from benchmarks.quality.robustness.plots import plot_alignment, plot_reconstruction
from benchmarks.quality.robustness.score import ALIGNED, exactly_laid
from benchmarks.quality.robustness.summary import (
    LOST,
    PLACED,
    RULES,
    BreakingPoint,
    LevelSummary,
    find_breaking_points,
    summarise_robustness,
)
from benchmarks.quality.run import one_thread
from benchmarks.quality.summary import Mean
from benchmarks.quality.tables import markdown_head, markdown_line
from diar_ops._files import to_csv, write_image, write_text_atomic
from diar_ops.cycles import contact_sheet

__all__ = [
    "breaking_markdown",
    "factor_markdown",
    "robustness_csv",
    "write_level_sheets",
    "write_robustness",
]


def write_robustness(out: Path, rows: Sequence[RobustnessRow]) -> str:
    """Write summary and plots of results, and return what there is to read.

    Args:
        out: Where to; see the attributes of :data:`ROBUSTNESS` for the names of the files.
        rows: All results to show.
    """
    summaries = summarise_robustness(rows)
    sequences = max(s.sequences for s in summaries)
    text = "\n\n".join(
        (
            f"Means over {sequences} sequences of {rows[0].frames} frames each. In every table one "
            "thing grows and all else stays as it is, mild; its levels are what the frames were "
            "measured to have. Frames lie over the label by their exact homographies, but for "
            f"methods with {ALIGNED} behind their names: there align_sequence laid them over the "
            "first frame.",
            "## Breaking points",
            f"Where a method has lost {LOST:g} dB (after one colour gain) of what it reaches at "
            f"the first level, or lays less than {100 * PLACED:g} % of the frames within 3 px; in "
            "between two levels by a straight line. A method that is poor from the start breaks "
            "late: read along with what it reaches.",
            breaking_markdown(find_breaking_points(summaries)),
            "## Levels",
            *(
                factor_markdown([s for s in summaries if s.factor == factor])
                for factor in dict.fromkeys(s.factor for s in summaries)
            ),
        )
    )
    write_text_atomic(out / "robustness.md", text + "\n", overwrite=True)
    write_text_atomic(out / "robustness_summary.csv", robustness_csv(summaries), overwrite=True)
    if any("psnr" in s.scores for s in summaries):
        plot_reconstruction(out / "reconstruction", summaries)
    if any("psnr" not in s.scores for s in summaries):
        plot_alignment(out / "alignment", summaries)
    return f"{text}\n\nwrote {out / ROBUSTNESS.table}, {', '.join(ROBUSTNESS.others)}"


TILE = 112


def write_level_sheets(
    folder: Path,
    factors: Sequence[str],
    methods: Mapping[str, Method],
    textures: Sequence[str],
    *,
    frames: int,
    side: int,
    sequence: int = 0,
    progress: Callable[[], object] | None = None,
) -> list[Path]:
    """Write one sheet per factor: a row per level, with label, frames, and what is made of them.

    Args:
        folder: Where to.
        factors: Of :data:`FACTORS`.
        methods: Whose pictures to show behind the frames, of exactly aligned frames.
        textures: Folders of images; procedural pictures without any.
        frames: How many a sequence has.
        side: Of the frames, in pixels.
        sequence: Which sequence.
        progress: Called after each sheet.

    Returns:
        The files.
    """
    shown = [method for name, method in methods.items() if not name.endswith(ALIGNED)]
    files = []
    with one_thread():
        pictures = choose_pictures(textures, sequence, (side, side))
        for name in factors:
            rows = []
            for level in FACTORS[name].levels:
                photos = take_photos(name, level, sequence, pictures, frames)
                laid = exactly_laid(photos)
                made = [m.restore(laid.frames, laid.valid).float().clamp(0, 1) for m in shown]
                rows.append((photos.label, torch.cat((photos.frames, *made))))
            files.append(folder / f"{name}_{sequence}.png")
            write_image(files[-1], contact_sheet(rows, tile=TILE), overwrite=True)
            if progress is not None:
                progress()
    return files


#: Words of the tables of alignment.
SHARES = {
    "below_1": "frames within 1 px [%]",
    "below_3": "frames within 3 px [%]",
    "accepted_foreign": "photos of another picture taken for aligned [%]",
}


def robustness_csv(summaries: Iterable[LevelSummary]) -> str:
    """Return means and the ends of their intervals as CSV, empty where there is no such score."""
    names = [*PICTURE_SCORES, "lost", *ALIGNMENT_SCORES]
    columns = [f"{name}{end}" for name in names for end in ("", "_low", "_high")]
    rows = []
    for s in summaries:
        means: list[Mean | None] = [s.scores.get(name) for name in PICTURE_SCORES]
        means += [s.lost, *(s.scores.get(name) for name in ALIGNMENT_SCORES)]
        cells = [
            "" if mean is None else f"{value:.6f}"
            for mean in means
            for value in mean or (None,) * 3
        ]
        rows.append([s.factor, f"{s.level:g}", f"{s.measured:.6f}", s.method, s.sequences, *cells])
    return to_csv(["factor", "level", "measured", "method", "sequences", *columns], rows)


def breaking_markdown(points: Sequence[BreakingPoint]) -> str:
    """Return the breaking points of all methods, a table of reconstruction and one of alignment."""
    parts = []
    for score, words in RULES.items():
        of = [p for p in points if p.score == score]
        if not of:
            continue
        factors = list(dict.fromkeys(p.factor for p in of))
        lines = [f"**Where {words}:**", ""]
        lines += markdown_head(["method", *(FACTORS[f].words for f in factors)], 1)
        for method in dict.fromkeys(p.method for p in of):
            found = {p.factor: p for p in of if p.method == method}
            cells = [_breaks(found[f]) if f in found else "" for f in factors]
            lines.append(markdown_line([method, *cells]))
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def factor_markdown(summaries: Sequence[LevelSummary]) -> str:
    """Return the tables of one factor: PSNR of the pictures, shares of the frames."""
    factor = FACTORS[summaries[0].factor]
    levels = {s.level: s.measured for s in summaries}
    heads = [factor.format(measured, 1) for measured in levels.values()]
    lines = [f"### {factor.words[0].upper()}{factor.words[1:]}", "", factor.what]
    pictures = [s for s in summaries if "psnr" in s.scores]
    if pictures:
        lines += ["", "PSNR after one colour gain, in parentheses plain [dB]:", ""]
        lines += markdown_head(["method", *heads], 1)
        lines += _lines(pictures, levels, _picture_cell)
    frames = [s for s in summaries if "psnr" not in s.scores]
    for name, words in SHARES.items():
        of = [s for s in frames if name in s.scores]
        if of:
            lines += ["", f"{words[0].upper()}{words[1:]}:", ""]
            lines += markdown_head(["method", *heads], 1)
            lines += _lines(of, levels, partial(_share_cell, name))
    return "\n".join(lines)


def _picture_cell(summary: LevelSummary) -> str:
    scores = summary.scores
    return f"{scores['psnr_gain'].mean:.1f} ({scores['psnr'].mean:.1f})"


def _share_cell(name: str, summary: LevelSummary) -> str:
    return f"{100 * summary.scores[name].mean:.0f}"


def _lines(
    summaries: Sequence[LevelSummary], levels: Iterable[float], cell: Callable[[LevelSummary], str]
) -> list[str]:
    """Return a line per method, a cell per level."""
    lines = []
    for method in dict.fromkeys(s.method for s in summaries):
        found = {s.level: cell(s) for s in summaries if s.method == method}
        lines.append(markdown_line([method, *(found.get(level, "") for level in levels)]))
    return lines


def _breaks(point: BreakingPoint) -> str:
    factor = FACTORS[point.factor]
    if point.at is None:
        return f"none up to {factor.format(point.last)}"
    return factor.format(point.at, 1 if point.at * factor.scale < 10 else 0)
