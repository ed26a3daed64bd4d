"""Score what methods make of aligned sequences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from torch import Tensor

from diar_ops.evaluation.aligned import load_prefixes
from diar_ops.evaluation.disturbance import Disturbance
from diar_ops.evaluation.lpips import LpipsFiles, load_lpips
from diar_ops.evaluation.methods import Method, find_methods
from diar_ops.evaluation.rows import PerceptualRow, Row, Scored
from diar_ops.evaluation.run import Task
from diar_ops.evaluation.scores import SCORES, score_picture

__all__ = ["begin_reconstruction", "score_sequence"]


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
        score_sequence, methods=find_methods(words)[0], disturbance=disturbance,
        perceptual=lpips and load_lpips(lpips),
    )  # fmt: skip
