"""Align sequences by several methods, and say how far off each frame is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

import torch

from diar_ops._seeds import generator_for
from diar_ops.data import SequenceDataset
from diar_ops.evaluation.alignment.aligners import AlignerFiles, find_aligners
from diar_ops.evaluation.alignment.estimate import Aligner
from diar_ops.evaluation.alignment.rows import AlignmentRow, score_frame
from diar_ops.evaluation.run import Task

__all__ = ["align_and_score", "begin_alignment"]


def align_and_score(task: Task, aligners: Sequence[Aligner]) -> list[AlignmentRow]:
    """Compute the results of a sequence, in the order in which they are wanted.

    Frame 0 is the reference of every method, and has no row. The time is that of the processor,
    which does not count what else the machine does.
    """
    align = {aligner.name: aligner.align for aligner in aligners}
    item = SequenceDataset(task.folder, frames=max(key.frames for key in task.wanted))[0]
    to_label = torch.linalg.inv(item["homography_frame_label"])
    true = item["homography_frame_label"][0] @ to_label
    size = (item["frames"].shape[-2], item["frames"].shape[-1])
    rows = []
    for key in task.wanted:
        start = time.process_time()
        found = align[key.method](item["frames"][: key.frames])
        seconds = time.process_time() - start
        rows += [
            score_frame(
                key, t, found.homography_reference_frame[t], true[t],
                success=bool(found.success[t]), size=size, seconds=seconds,
                threads=torch.get_num_threads(),
            )
            for t in range(1, key.frames)
        ]  # fmt: skip
    return rows


def begin_alignment(
    words: Sequence[str], files: AlignerFiles
) -> Callable[[Task], list[AlignmentRow]]:
    """Return the work of :func:`run_tasks`.

    Args:
        words: The methods, as :func:`find_aligners` takes them.
        files: Their weights.
    """
    aligners, _ = find_aligners(words, files)
    # The first call of anything loads libraries, which is not the method's time.
    noise = torch.rand(3, 3, 64, 64, generator=generator_for("warm-up"))
    for aligner in aligners:
        aligner.align(noise)
    return partial(align_and_score, aligners=aligners)
