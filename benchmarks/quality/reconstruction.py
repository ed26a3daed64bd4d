"""Score what methods make of aligned sequences, and time them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

from torch import Tensor

from benchmarks.quality.aligned import AlignedFrames, Disturbance, load_aligned, load_prefixes
from benchmarks.quality.lpips import LpipsFiles, load_lpips
from benchmarks.quality.methods import Method, resolve_methods
from benchmarks.quality.plan import Plan, Task
from benchmarks.quality.record import RECORD, StoredResults, read_record, read_results
from benchmarks.quality.rows import KEY_COLUMNS, Results, Row, group_by
from benchmarks.quality.scores import SCORES, score_picture

#: Scores of reconstruction with LPIPS, and without.
PERCEPTUAL = Results(
    "diar_ops evaluation",
    "scores.csv",
    {**KEY_COLUMNS, **dict.fromkeys(SCORES, float)},
    ("summary.md", "summary.csv", "comparisons.csv"),
)
RECONSTRUCTION = replace(PERCEPTUAL, columns={n: kind for n, kind in PERCEPTUAL.columns.items() if n != "lpips"})


def read_scores(out: Path) -> StoredResults:
    """Return the scores that a folder holds, with LPIPS or without."""
    record = read_record(out, RECONSTRUCTION) if (out / RECORD).exists() else {}
    return read_results(out, PERCEPTUAL if record.get("lpips") else RECONSTRUCTION)


def score_sequence(
    task: Task[Path],
    methods: Sequence[Method],
    disturbance: Disturbance,
    perceptual: Mapping[str, Tensor] | None = None,
) -> list[Row]:
    """Compute the results of a sequence, in the order of its keys.

    Args:
        task: What is to be computed.
        methods: Those that it names.
        disturbance: Of the alignment.
        perceptual: Weights of :func:`load_lpips`, if rows have LPIPS.
    """
    restore = {method.name: method.restore for method in methods}
    prefixes = load_prefixes(task.source, (key.frames for key in task.keys), disturbance)
    rows = []
    for key in task.keys:
        aligned = prefixes[key.frames]
        picture = restore[key.method](aligned.frames, aligned.valid)
        rows.append(Row(*key, score_picture(picture, aligned.label, aligned.covered, perceptual)))
    return rows


def begin_reconstruction(
    words: Sequence[str], disturbance: Disturbance, lpips: LpipsFiles | None = None
) -> Callable[[Task[Path]], list[Row]]:
    """Build the function that scores one task, in the process that calls it.

    Args:
        words: The methods, as :func:`resolve_methods` takes them.
        disturbance: Of the alignment.
        lpips: Weights of LPIPS, if it is to be among the scores.
    """
    return partial(
        score_sequence, methods=resolve_methods(words), disturbance=disturbance, perceptual=lpips and load_lpips(lpips)
    )


#: Sequences that a method is timed on.
TIMED = 5


def time_methods(
    plan: Plan[Path],
    methods: Sequence[Method],
    disturbance: Disturbance,
    *,
    progress: Callable[[int, int], object] | None = None,
) -> dict[tuple[str, int, str], float]:
    """Return :func:`time_method` by set, number of frames and method, on :data:`TIMED` sequences.

    Args:
        plan: Sets and numbers of frames.
        methods: What is timed.
        disturbance: Of the alignment.
        progress: Called with (methods timed, in all).
    """
    groups = group_by(plan.keys, lambda key: (key.set, key.frames))
    sources = plan.sources
    seconds: dict[tuple[str, int, str], float] = {}
    for (name, frames), keys in groups.items():
        folders = [*dict.fromkeys(sources[key.set, key.sequence] for key in keys)][:TIMED]
        sequences = [load_aligned(folder, frames, disturbance) for folder in folders]
        for method in methods:
            seconds[name, frames, method.name] = time_method(method, sequences)
            if progress is not None:
                progress(len(seconds), len(groups) * len(methods))
    return seconds


def time_method(method: Method, sequences: Sequence[AlignedFrames]) -> float:
    """Return the median seconds over sequences, one after the other, after a warm-up.

    Reading, alignment and scores are not counted. With all threads that torch may use here.
    """
    method.restore(sequences[0].frames, sequences[0].valid)
    seconds = []
    for aligned in sequences:
        start = time.perf_counter()
        method.restore(aligned.frames, aligned.valid)
        seconds.append(time.perf_counter() - start)
    return median(seconds)
