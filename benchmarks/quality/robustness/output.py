"""Tables, plots and sheets of an evaluation of robustness."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import torch

from benchmarks.quality.csv_lines import to_csv
from benchmarks.quality.methods import Method
from benchmarks.quality.result_tables import Table, interval_cells, interval_heads, markdown_grid, tables_markdown
from benchmarks.quality.robustness.cells import ALIGNED, align_exactly
from benchmarks.quality.robustness.degraded_photos import choose_pictures, render_degraded_photos
from benchmarks.quality.robustness.factors import FACTORS, Factor
from benchmarks.quality.robustness.level_plan import ALIGNMENT_SCORES, PICTURE_SCORES, ROBUSTNESS
from benchmarks.quality.robustness.level_plots import plot_alignment, plot_reconstruction
from benchmarks.quality.robustness.levels import (
    LOST,
    PLACED,
    RULES,
    BreakingPoint,
    LevelSummary,
    find_breaking_points,
    summarise_robustness,
)
from benchmarks.quality.rows import Row, group_by
from benchmarks.quality.scores import Measure
from diar_ops._files import write_image, write_text_atomic
from diar_ops.cycles import contact_sheet
from diar_ops.engines import one_thread

ColumnT = TypeVar("ColumnT", bound=str | float)
#: Side of the pictures on a sheet, in pixels.
TILE = 112
#: How shares of alignment are written.
SHARES = {
    "below_1": Measure("frames within 1 px [%]", 0, 100),
    "below_3": Measure("frames within 3 px [%]", 0, 100),
    "accepted_foreign": Measure("photos of another picture taken for aligned [%]", 0, 100),
}


def write_robustness(out: Path, rows: Sequence[Row]) -> str:
    """Write summary and plots of results, and return the summary as Markdown.

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
            *(factor_markdown(levels) for levels in group_by(summaries, lambda s: s.factor).values()),
        )
    )
    write_text_atomic(out / "robustness.md", text + "\n", overwrite=True)
    write_text_atomic(out / "robustness_summary.csv", robustness_csv(summaries), overwrite=True)
    if any("psnr" in s.scores for s in summaries):
        plot_reconstruction(out / "reconstruction", summaries)
    if any("psnr" not in s.scores for s in summaries):
        plot_alignment(out / "alignment", summaries)
    return f"{text}\n\nwrote {out / ROBUSTNESS.table}, {', '.join(ROBUSTNESS.others)}"


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
                photos = render_degraded_photos(name, level, sequence, pictures, frames)
                exact = align_exactly(photos)
                restored = [m.restore(exact.frames, exact.valid).float().clamp(0, 1) for m in shown]
                rows.append((photos.label, torch.cat((photos.frames, *restored))))
            files.append(folder / f"{name}_{sequence}.png")
            write_image(files[-1], contact_sheet(rows, tile=TILE), overwrite=True)
            if progress is not None:
                progress()
    return files


def robustness_csv(summaries: Iterable[LevelSummary]) -> str:
    """Return means and the ends of their intervals as CSV, empty where there is no such score."""
    names = [*PICTURE_SCORES, "lost", *ALIGNMENT_SCORES]
    lines = []
    for s in summaries:
        line = [s.factor, f"{s.level:g}", f"{s.measured:.6f}", s.method, str(s.sequences)]
        lines.append([*line, *(cell for n in names for cell in interval_cells(s.scores.get(n)))])
    heads = ["factor", "level", "measured", "method", "sequences", *interval_heads(names)]
    return to_csv(heads, lines)


def breaking_markdown(points: Sequence[BreakingPoint]) -> str:
    """Return the breaking points of all methods, a table of reconstruction and one of alignment."""
    tables = []
    for score, rule in RULES.items():
        selected = [point for point in points if point.score == score]
        factors = list(dict.fromkeys(point.factor for point in selected))
        cells = {(p.method, p.factor): _breaking_cell(FACTORS[p.factor], p) for p in selected}
        if selected:
            heads = ["method", *(FACTORS[factor].words for factor in factors)]
            tables.append(Table(f"Where {rule}:", 1, heads, _pivot(cells, factors)))
    return tables_markdown(tables)


def _breaking_cell(factor: Factor, point: BreakingPoint) -> str:
    if point.position is None:
        return f"none up to {factor.format(point.last)}"
    return factor.format(point.position, 1 if point.position * factor.scale < 10 else 0)


def factor_markdown(summaries: Sequence[LevelSummary]) -> str:
    """Return the tables of one factor: PSNR of the pictures, shares of the frames."""
    factor = FACTORS[summaries[0].factor]
    levels = {s.level: s.measured for s in summaries}
    heads = ["method", *(factor.format(measured, 1) for measured in levels.values())]
    tables = {
        "PSNR after one colour gain, in parentheses plain [dB]": {
            (s.method, s.level): f"{s.scores['psnr_gain'].mean:.1f} ({s.scores['psnr'].mean:.1f})"
            for s in summaries
            if "psnr" in s.scores
        }
    }
    for name, share in SHARES.items():
        tables[_capitalise(share.title)] = {
            (s.method, s.level): share.format(s.scores[name].mean) for s in summaries if name in s.scores
        }
    parts = [f"### {_capitalise(factor.words)}", factor.what]
    for title, cells in tables.items():
        if cells:
            parts += [f"{title}:", markdown_grid(heads, _pivot(cells, levels))]
    return "\n\n".join(parts)


def _capitalise(words: str) -> str:
    return words[0].upper() + words[1:]


def _pivot(cells: Mapping[tuple[str, ColumnT], str], columns: Iterable[ColumnT]) -> list[list[str]]:
    """Return a row per method from cells by (method, column), empty where there is none."""
    columns = list(columns)
    return [
        [method, *(cells.get((method, column), "") for column in columns)]
        for method in dict.fromkeys(name for name, _ in cells)
    ]
