"""The parts of an evaluation, each with rows of its own, and the report of all of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.quality.aligned import Disturbance
from benchmarks.quality.alignment.aligners import DEFAULT_ALIGNERS
from benchmarks.quality.alignment.error_section import alignment_section
from benchmarks.quality.alignment.frame_errors import ALIGNMENT, begin_alignment
from benchmarks.quality.alignment.frame_pictures import choose_frames, write_frames
from benchmarks.quality.candidates import (
    ALIGNED,
    PARTS,
    RECONSTRUCTED,
    SELF_ALIGNED,
    Candidates,
    check_against,
    read_part,
    resolve_candidates,
)
from benchmarks.quality.cases import Case, choose_cases, write_cases
from benchmarks.quality.evaluation_page import Section, render_evaluation, section_markdown
from benchmarks.quality.lpips import LpipsFiles, lpips_digest
from benchmarks.quality.methods import DEFAULT_METHODS
from benchmarks.quality.plan import Plan, name_sets, plan_sets, unaligned_sets
from benchmarks.quality.reconstruction import (
    PERCEPTUAL,
    RECONSTRUCTION,
    begin_reconstruction,
    read_scores,
    time_methods,
)
from benchmarks.quality.record import PICTURES, read_results, settings_record
from benchmarks.quality.result_tables import Seconds
from benchmarks.quality.rows import Row
from benchmarks.quality.run import complete_results, progress_bar
from benchmarks.quality.score_sections import alignment_costs_section, describe_results, score_section, training_section
from benchmarks.quality.training_curves import read_curves
from diar_ops._errors import OptionError, OutputError
from diar_ops._files import write_text_atomic

REPORT = "report.html"
FRAMES = (1, 2, 3, 5, 10, 20, 50)


def evaluate(options: argparse.Namespace, command: str) -> str:
    """Compute what is asked for, write the report, and return what there is to read.

    Args:
        options: Of examples/evaluate.py.
        command: How it was called, for the report.

    Raises:
        DiarError: An option is wrong, or a file cannot be read or written.
    """
    out = Path(options.out)
    sets = name_sets(options.sets)
    curves = read_curves(options.curves)
    parts = _select_parts(options, sets)
    _check_report(out, overwrite=options.overwrite)
    # Everything is looked up before anything takes long.
    candidates = resolve_candidates(options, parts)
    check_against(options.against, candidates, out)
    plans = {part: _plan(options, part, parts[part], candidates.names(part)) for part in parts}
    seconds: dict[tuple[str, int, str], float] = {}
    for part, plan in plans.items():
        if part == ALIGNED:
            _align(options, out / part, plan, candidates)
        else:
            _reconstruct(options, out / part, plan, candidates)
            if options.timing and part == RECONSTRUCTED:
                with progress_bar("timing", "method") as progress:
                    seconds = time_methods(plan, candidates.methods, _disturbance(options, part), progress=progress)
    sections, about = _sections(options, candidates, seconds)
    if curves:
        sections.append(training_section(out, curves))
    page = render_evaluation(sections, about=about, command=command)
    write_text_atomic(out / REPORT, page, overwrite=True)
    text = "\n\n".join(f"## {section.title}\n\n{section_markdown(section, brief=True)}" for section in sections)
    return f"{text}\n\nwrote {out / REPORT}, figures beside it, tables in {', '.join(parts)}"


def _select_parts(options: argparse.Namespace, sets: dict[str, Path]) -> dict[str, dict[str, Path]]:
    """Return the sets of each part that is asked for and has some; print which are left out."""
    requested = [part for part in PARTS if part in (options.parts or PARTS)]
    if options.frames and set(options.frames) == {1} and not options.parts:
        requested.remove(ALIGNED)
        print("alignment is left out: one frame is laid over none", file=sys.stderr)
    unaligned = unaligned_sets(sets)
    parts = {part: sets if part == RECONSTRUCTED else unaligned for part in requested}
    left_out = [part for part, selected in parts.items() if selected != sets]
    if left_out:
        names = ", ".join(name for name in sets if name not in unaligned)
        print(f"{names}: left out of {' and '.join(left_out)}, since all frames lie over their label", file=sys.stderr)
    parts = {part: selected for part, selected in parts.items() if selected}
    if not parts:
        raise OptionError(f"there is no set to evaluate for {' and '.join(requested)}")
    return parts


def _check_report(out: Path, *, overwrite: bool) -> None:
    """Raise unless a report that exists is one of results."""
    begun = any((out / part).is_dir() for part in PARTS)
    if (out / REPORT).exists() and not (begun or overwrite):
        raise OutputError(f"{out} holds a {REPORT}, but no results; choose another folder or begin anew (--overwrite)")


def _plan(options: argparse.Namespace, part: str, sets: dict[str, Path], names: Sequence[str]) -> Plan[Path]:
    """Return which results of a part are asked for."""
    if part == ALIGNED:
        frames = options.frames and [count for count in options.frames if count != 1]
        return plan_sets(sets, names, frames, sequences=options.sequences, least=2)
    return plan_sets(
        sets, names, options.frames or FRAMES, sequences=options.sequences, disturbance=_disturbance(options, part)
    )


def _disturbance(options: argparse.Namespace, part: str) -> Disturbance:
    """Return how the frames of a part of reconstruction are moved off their place."""
    if part == SELF_ALIGNED:
        return Disturbance(self_aligned=True)
    return Disturbance(options.jitter, options.misalign)


def _reconstruct(options: argparse.Namespace, out: Path, plan: Plan[Path], candidates: Candidates) -> None:
    """Complete the scores of reconstruction and their pictures."""
    disturbance = _disturbance(options, out.name)
    lpips = LpipsFiles(*options.lpips) if options.lpips else None
    results = PERCEPTUAL if lpips else RECONSTRUCTION
    record = settings_record(
        results,
        plan.sources,
        lpips=lpips and lpips_digest(lpips),
        jitter=float(disturbance.jitter),
        misaligned=disturbance.misaligned,
        self_aligned=disturbance.self_aligned,
        weights={method.name: method.digest for method in candidates.methods if method.digest},
    )
    complete_results(
        out,
        results,
        plan,
        record,
        partial(begin_reconstruction, candidates.words, disturbance, lpips),
        engine=options.engine,
        title=out.name,
        overwrite=options.overwrite,
    )
    cases = choose_cases(read_scores(out).rows, options.pictures)
    with progress_bar("pictures", "sequence") as progress:
        write_cases(
            out / PICTURES,
            _planned(cases, plan, candidates.names(RECONSTRUCTED)),
            plan.sources,
            candidates.words,
            disturbance,
            options.engine,
            progress=progress,
        )


def _align(options: argparse.Namespace, out: Path, plan: Plan[Path], candidates: Candidates) -> None:
    """Complete the errors of alignment, and pictures of them."""
    names = candidates.names(ALIGNED)
    methods = {aligner.name: aligner.settings for aligner in candidates.aligners}
    record = settings_record(ALIGNMENT, plan.sources, methods=methods)
    complete_results(
        out,
        ALIGNMENT,
        plan,
        record,
        partial(begin_alignment, names, candidates.files),
        engine=options.engine,
        title=out.name,
        overwrite=options.overwrite,
    )
    cases = choose_frames(read_results(out, ALIGNMENT).rows, options.pictures)
    planned = _planned(cases, plan, names)
    with tqdm(total=len(planned), desc="pictures", unit="frame", disable=None) as bar:
        rows = [case.row for case in planned]
        write_frames(out / PICTURES, rows, plan.sources, progress=bar.update)


def _planned(cases: Sequence[Case], plan: Plan[Path], names: Sequence[str]) -> list[Case]:
    """Return the cases of methods and sequences that were asked for."""
    sources = plan.sources
    return [c for c in cases if c.row.method in names and (c.row.set, c.row.sequence) in sources]


def _sections(
    options: argparse.Namespace, candidates: Candidates, seconds: Seconds
) -> tuple[list[Section], list[tuple[str, str]]]:
    """Write tables and figures of all that the folder holds.

    Returns:
        What there is to show, and what was measured, label and value.
    """
    out = Path(options.out)
    sets = [*name_sets(options.sets)]
    sections: list[Section] = []
    stored = {part: read_part(out, part) for part in PARTS}
    for part, (_, rows, *_) in stored.items():
        default = DEFAULT_ALIGNERS if part == ALIGNED else DEFAULT_METHODS
        rows.sort(key=_order(sets, [*candidates.names(part), *default]))
    exact, own, alignment = stored.values()
    for results in (exact, own):
        if results.rows:
            section = score_section(
                results,
                out,
                against=_against(options, results.rows),
                cases=options.pictures,
                seconds=seconds if results is exact else None,
            )
            sections.append(section)
    if sections:
        sections.append(alignment_costs_section(exact, own, out))
    if alignment.rows:
        section = alignment_section(
            alignment,
            out,
            {aligner.name: aligner.words for aligner in candidates.aligners},
            against=_against(options, alignment.rows),
            cases=options.pictures,
        )
        sections.append(section)
    about = [(part, describe_results(results)) for part, results in stored.items() if results.rows]
    return sections, about


def _against(options: argparse.Namespace, rows: Sequence[Row]) -> str | None:
    """Return what others are compared with, of the names that were given."""
    methods = {row.method for row in rows}
    return next((name for name in options.against if name in methods), None)


def _order(sets: Sequence[str], methods: Sequence[str]) -> Callable[[Row], tuple[Any, ...]]:
    """Return the key that sorts rows: sets and methods as they were named, then by name."""
    set_places, method_places = (
        {name: place for place, name in reversed([*enumerate(names)])} for names in (sets, methods)
    )

    def key(row: Row) -> tuple[Any, ...]:
        return (
            set_places.get(row.set, len(sets)),
            row.set,
            row.frames,
            method_places.get(row.method, len(methods)),
            row.method,
            row.sequence,
            row.values.get("frame", 0),
        )

    return key
