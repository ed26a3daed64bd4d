"""evaluate.py: its parts, each with rows of its own, and the report of all of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from _cli import progress_bar
from benchmarks.quality import (
    DEFAULT,
    DEFAULT_METHODS,
    PERCEPTUAL,
    PICTURES,
    RECONSTRUCTION,
    Disturbance,
    Keyed,
    LpipsFiles,
    Method,
    Plan,
    Results,
    Scored,
    Section,
    alignment_costs_section,
    begin_reconstruction,
    choose_cases,
    complete_results,
    describe_rows,
    find_methods,
    kept_pictures,
    kept_results,
    kept_scores,
    lpips_digest,
    name_sets,
    read_curves,
    render_evaluation,
    score_section,
    section_markdown,
    settings_record,
    time_methods,
    training_section,
    unaligned_sets,
    write_cases,
)
from benchmarks.quality.alignment import (
    ALIGNMENT,
    DEFAULT_ALIGNERS,
    Aligner,
    AlignerFiles,
    alignment_section,
    begin_alignment,
    choose_frames,
    find_aligners,
    write_frames,
)
from diar_ops import OptionError, OutputError
from diar_ops._files import write_text_atomic

__all__ = ["FRAMES", "PARTS", "REPORT", "evaluate"]

PARTS = ("reconstruction", "self-aligned", "alignment")
REPORT = "report.html"
FRAMES = (1, 2, 3, 5, 10, 20, 50)
#: Median seconds by set, number of frames and method.
Seconds = dict[tuple[str, int, str], float]
Found = TypeVar("Found")


def evaluate(options: argparse.Namespace, command: str) -> str:
    """Compute what is asked for, write the report, and return what there is to read."""
    out = Path(options.out)
    sets = name_sets(options.sets)
    curves = read_curves(options.curves)
    parts = _parts(options, sets)
    _check_report(out, overwrite=options.overwrite)
    words = options.methods or [DEFAULT]
    methods: list[Method] = []
    aligners: list[Aligner] = []
    files = AlignerFiles(
        options.resnet18, options.kornia_loftr, options.kornia_disk, options.kornia_lightglue
    )
    # Everything is looked up before anything takes long.
    if parts.keys() - {"alignment"}:
        methods = _told(find_methods(words))
    if "alignment" in parts:
        aligners = _told(find_aligners(options.aligners or [DEFAULT], files))
    _check_against(options.against, [*(m.name for m in methods), *(a.name for a in aligners)], out)
    names = {
        part: [x.name for x in (aligners if part == "alignment" else methods)] for part in parts
    }
    plans = {part: _plan(options, part, of, names[part]) for part, of in parts.items()}
    seconds: Seconds = {}
    for part, plan in plans.items():
        if part == "alignment":
            _align(options, out / part, plan, aligners, files)
        else:
            seconds.update(_reconstruct(options, out / part, plan, methods, words))
    sections, about = _sections(options, out, methods, aligners, seconds)
    if curves:
        sections.append(training_section(out, curves))
    page = render_evaluation(sections, about=about, command=command)
    write_text_atomic(out / REPORT, page, overwrite=True)
    text = "\n\n".join(
        f"## {section.title}\n\n{section_markdown(section, brief=True)}" for section in sections
    )
    return f"{text}\n\nwrote {out / REPORT}, figures beside it, tables in {', '.join(parts)}"


def _parts(options: argparse.Namespace, sets: dict[str, Path]) -> dict[str, dict[str, Path]]:
    """Return the sets of each part that is asked for and has some; say which are left out."""
    asked = [part for part in PARTS if part in (options.parts or PARTS)]
    if options.frames and set(options.frames) == {1} and not options.parts:
        asked.remove("alignment")
        print("alignment is left out: one frame is laid over none", file=sys.stderr)
    spread = unaligned_sets(sets)
    parts = {part: sets if part == PARTS[0] else spread for part in asked}
    left_out = [part for part, of in parts.items() if of != sets]
    if left_out:
        names = ", ".join(name for name in sets if name not in spread)
        print(
            f"{names}: left out of {' and '.join(left_out)}, since all frames lie over their label",
            file=sys.stderr,
        )
    parts = {part: of for part, of in parts.items() if of}
    if not parts:
        raise OptionError(f"there is no set to evaluate for {' and '.join(asked)}")
    return parts


def _plan(
    options: argparse.Namespace, part: str, sets: dict[str, Path], names: Sequence[str]
) -> Plan:
    """Return which results of a part are asked for."""
    if part == "alignment":
        frames = options.frames and [count for count in options.frames if count != 1]
        return Plan(sets, names, frames, sequences=options.sequences, least=2)
    own = part == "self-aligned"
    disturbance = Disturbance(
        0.0 if own else options.jitter, 0 if own else options.misalign, self_aligned=own
    )
    return Plan(
        sets, names, options.frames or FRAMES, sequences=options.sequences, disturbance=disturbance
    )


def _told(found: tuple[list[Found], list[str]]) -> list[Found]:
    """Return what was found, and tell what was not."""
    for sentence in found[1]:
        print(sentence, file=sys.stderr)
    return found[0]


def _check_report(out: Path, *, overwrite: bool) -> None:
    """Raise unless a report that is there is one of results."""
    begun = any((out / part).is_dir() for part in PARTS)
    if (out / REPORT).exists() and not (begun or overwrite):
        raise OutputError(
            f"{out} holds a {REPORT}, but no results; choose another folder or begin anew "
            "(--overwrite)"
        )


def _check_against(names: Sequence[str], asked: Sequence[str], out: Path) -> None:
    """Raise unless methods that others are to be compared with have results or will have."""
    known = set(asked)
    for part in PARTS[:2]:
        known |= {row.method for row in kept_scores(out / part)[0]}
    known |= {row.method for row in kept_results(out / "alignment", ALIGNMENT)[0]}
    for name in names:
        if name not in known:
            raise OptionError(f"--against {name}: there is no such method among those compared")


def _reconstruct(
    options: argparse.Namespace,
    out: Path,
    plan: Plan,
    methods: Sequence[Method],
    words: Sequence[str],
) -> Seconds:
    """Complete the scores of reconstruction and their pictures; return times, if asked for."""
    disturbance = plan.disturbance
    lpips = LpipsFiles(*options.lpips) if options.lpips else None
    results: Results[Any] = PERCEPTUAL if lpips else RECONSTRUCTION
    record = settings_record(
        results,
        plan.first_folders,
        lpips=lpips and lpips_digest(lpips),
        jitter=float(disturbance.jitter),
        misaligned=disturbance.misaligned,
        self_aligned=disturbance.self_aligned,
        weights={method.name: method.digest for method in methods if method.digest},
    )
    with progress_bar(out.name, "sequence") as progress:
        complete_results(
            out,
            results,
            plan,
            record,
            partial(begin_reconstruction, words, disturbance, lpips),
            workers=options.workers,
            overwrite=options.overwrite,
            progress=progress,
        )
    names = {method.name for method in methods}
    cases = [
        case
        for case in choose_cases(kept_scores(out)[0], options.pictures)
        if case.row.method in names and (case.row.set, case.row.sequence) in plan.folders
    ]
    with progress_bar("pictures", "sequence") as progress:
        write_cases(
            out / PICTURES,
            cases,
            plan.folders,
            words,
            disturbance,
            workers=options.workers,
            progress=progress,
        )
    timed = options.timing and not disturbance.self_aligned
    if not timed:
        return {}
    with progress_bar("timing", "method") as progress:
        return time_methods(plan, methods, progress=progress)


def _align(
    options: argparse.Namespace,
    out: Path,
    plan: Plan,
    aligners: Sequence[Aligner],
    files: AlignerFiles,
) -> None:
    """Complete the errors of alignment, and pictures of them."""
    names = [aligner.name for aligner in aligners]
    methods = {aligner.name: aligner.settings for aligner in aligners}
    record = settings_record(ALIGNMENT, plan.first_folders, methods=methods)
    with progress_bar("alignment", "sequence") as progress:
        complete_results(
            out,
            ALIGNMENT,
            plan,
            record,
            partial(begin_alignment, names, files),
            workers=options.workers,
            overwrite=options.overwrite,
            progress=progress,
        )
    rows = [
        row
        for _, row in choose_frames(kept_results(out, ALIGNMENT)[0], options.pictures)
        if row.method in names and (row.set, row.sequence) in plan.folders
    ]
    with tqdm(total=len(rows), desc="pictures", unit="frame", disable=None) as bar:
        write_frames(out / PICTURES, rows, plan.folders, progress=bar.update)


def _sections(
    options: argparse.Namespace,
    out: Path,
    methods: Sequence[Method],
    aligners: Sequence[Aligner],
    seconds: Seconds,
) -> tuple[list[Section], list[tuple[str, str]]]:
    """Write tables and figures of all that the folder holds.

    Returns:
        What there is to show, and what was measured, label and value.
    """
    sections: list[Section] = []
    about: list[tuple[str, str]] = []
    scores: dict[str, list[Scored]] = {}
    pictures: dict[tuple[str, str], str] = {}
    sets = [*name_sets(options.sets)]
    for part in PARTS[:2]:
        rows, record = kept_scores(out / part)
        rows.sort(key=_order(sets, [*(m.name for m in methods), *DEFAULT_METHODS]))
        scores[part] = rows
        if rows:
            shown = kept_pictures(out / part)
            pictures.update(shown)
            about.append((part, describe_rows(rows, shown)))
            sections.append(
                score_section(
                    part,
                    out / part,
                    out,
                    rows,
                    shown,
                    against=_against(options, rows),
                    cases=options.pictures,
                    seconds=seconds if part == PARTS[0] else None,
                    disturbed=_disturbed(record),
                )
            )
    exact, own = (scores[part] for part in PARTS[:2])
    if exact or own:
        sections.append(alignment_costs_section(out, exact, own, pictures))
    errors, _ = kept_results(out / "alignment", ALIGNMENT)
    if errors:
        errors.sort(key=_order(sets, [*(a.name for a in aligners), *DEFAULT_ALIGNERS]))
        shown = kept_pictures(out / "alignment")
        about.append(("alignment", describe_rows(errors, shown)))
        sections.append(
            alignment_section(
                out / "alignment",
                out,
                errors,
                shown,
                {a.name: a.words for a in aligners},
                against=_against(options, errors),
                cases=options.pictures,
            )
        )
    return sections, about


def _order(sets: Sequence[str], methods: Sequence[str]) -> Callable[[Keyed], tuple[Any, ...]]:
    """Return the key that sorts rows: sets and methods as they were named, then by name."""
    places = [{name: n for n, name in reversed([*enumerate(names)])} for names in (sets, methods)]

    def key(row: Keyed) -> tuple[Any, ...]:
        name, sequence, frames, method = row.key
        last = len(sets), len(methods)
        return (
            places[0].get(name, last[0]),
            name,
            frames,
            places[1].get(method, last[1]),
            method,
            sequence,
            getattr(row, "frame", 0),
        )

    return key


def _against(options: argparse.Namespace, rows: Iterable[Keyed]) -> str | None:
    """Return what others are compared with, of the names that a person gave."""
    methods = {row.key.method for row in rows}
    return next((name for name in options.against if name in methods), None)


def _disturbed(record: Mapping[str, Any]) -> str:
    """Return in words how frames were moved off their place."""
    words = []
    if record.get("jitter"):
        words.append(f"each moved by {record['jitter']:g} px")
    if record.get("misaligned"):
        words.append(f"{record['misaligned']} of each sequence moved by 5 to 30 % of its size")
    return " and ".join(words)
