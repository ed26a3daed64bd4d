"""How long methods take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median

from diar_ops.evaluation.aligned import Aligned
from diar_ops.evaluation.methods import Method

__all__ = ["time_method"]


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
