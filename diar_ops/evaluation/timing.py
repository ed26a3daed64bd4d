"""How long methods take."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from diar_ops.evaluation.aligned import Aligned, load_aligned
from diar_ops.evaluation.methods import Method
from diar_ops.evaluation.plan import Plan

__all__ = ["TIMED", "time_method", "time_methods"]

#: Sequences that a method is timed on.
TIMED = 5


def time_methods(
    plan: Plan,
    methods: Sequence[Method],
    *,
    progress: Callable[[int, int], object] | None = None,
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
