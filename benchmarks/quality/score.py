"""Score what methods make of aligned sequences."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median

from torch import Tensor

from benchmarks.quality.aligned import Aligned, Disturbance, load_aligned, load_prefixes
from benchmarks.quality.lpips import LpipsFiles, load_lpips
from benchmarks.quality.methods import Method, find_methods
from benchmarks.quality.plan import Plan
from benchmarks.quality.rows import PerceptualRow, Row, Scored
from benchmarks.quality.run import Task
from benchmarks.quality.scores import SCORES, score_picture

__all__ = ["TIMED", "begin_reconstruction", "score_sequence", "time_method", "time_methods"]


def score_sequence(
    task: Task,
    methods: Sequence[Method],
    disturbance: Disturbance,
    perceptual: Mapping[str, Tensor] | None = None,
) -> list[Scored]:
    """Compute the results of a sequence, in the order in which they are wanted.

    Args:
        task: What is wanted.
        methods: Those that it names.
        disturbance: Of the alignment.
        perceptual: Weights of :func:`load_lpips`, if rows have LPIPS.
    """
    restore = {method.name: method.restore for method in methods}
    taken = load_prefixes(task.folder, (key.frames for key in task.wanted), disturbance)
    rows: list[Scored] = []
    for key in task.wanted:
        aligned = taken[key.frames]
        picture = restore[key.method](aligned.frames, aligned.valid)
        scores = score_picture(picture, aligned.label, aligned.shown, perceptual)
        values = [scores[name] for name in SCORES if name in scores]
        rows.append(Row(*key, *values) if perceptual is None else PerceptualRow(*key, *values))
    return rows


def begin_reconstruction(
    words: Sequence[str], disturbance: Disturbance, lpips: LpipsFiles | None = None
) -> Callable[[Task], list[Scored]]:
    """Return the work of :func:`run_tasks`.

    Args:
        words: The methods, as :func:`find_methods` takes them.
        disturbance: Of the alignment.
        lpips: Weights of LPIPS, if it is to be among the scores.
    """
    return partial(
        score_sequence,
        methods=find_methods(words)[0],
        disturbance=disturbance,
        perceptual=lpips and load_lpips(lpips),
    )


#: Sequences that a method is timed on.
TIMED = 5


def time_methods(
    plan: Plan, methods: Sequence[Method], *, progress: Callable[[int, int], object] | None = None
) -> dict[tuple[str, int, str], float]:
    """Return :func:`time_method` by set, number of frames and method, on :data:`TIMED` sequences.

    Args:
        plan: Sets and numbers of frames.
        methods: What is timed.
        progress: Called with (methods timed, in all).
    """
    chosen: dict[tuple[str, int], list[Path]] = {}
    for key in plan.keys:
        folders = chosen.setdefault((key.set, key.frames), [])
        folder = plan.folders[key.set, key.sequence]
        if folder not in folders and len(folders) < TIMED:
            folders.append(folder)
    seconds: dict[tuple[str, int, str], float] = {}
    for (name, frames), folders in chosen.items():
        sequences = [load_aligned(folder, frames, plan.disturbance) for folder in folders]
        for method in methods:
            seconds[name, frames, method.name] = time_method(method, sequences)
            if progress is not None:
                progress(len(seconds), len(chosen) * len(methods))
    return seconds


def time_method(method: Method, sequences: Sequence[Aligned]) -> float:
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
