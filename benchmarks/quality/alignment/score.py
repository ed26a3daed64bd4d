"""Align sequences by several methods, and say how far off each frame is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.quality.alignment.aligners import AlignerFiles, find_aligners
from benchmarks.quality.alignment.pairwise import Aligner
from benchmarks.quality.record import Results
from benchmarks.quality.rows import RowKey
from benchmarks.quality.run import Task
from diar_ops._seeds import generator_for
from diar_ops.data import SequenceDataset
from diar_ops.geometry import corner_error, homography_distance

__all__ = [
    "ALIGNMENT",
    "AlignmentRow",
    "align_and_score",
    "begin_alignment",
    "of_most_frames",
    "score_frame",
]


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
                key,
                t,
                found.homography_reference_frame[t],
                true[t],
                success=bool(found.success[t]),
                size=size,
                seconds=seconds,
                threads=torch.get_num_threads(),
            )
            for t in range(1, key.frames)
        ]
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


#: Significant digits of a stored homography.
DIGITS = 12


class AlignmentRow(NamedTuple):
    """What a method says of one frame of a sequence, and how far off it is.

    Attributes:
        set: The set.
        sequence: The sequence.
        frames: How many frames of it were aligned together, the reference among them.
        method: The method.
        frame: Which frame, from 1; frame 0 is the reference of all methods.
        corner_error: Mean distance of the frame's four corners, laid over the reference, from
            where they belong, in pixels of the reference; infinite without success.
        distance: :func:`homography_distance`; infinite without success.
        success: Whether the method calls the frame aligned.
        seconds: What the method took for the whole sequence, its files read.
        threads: How many it could use.
        h11, h12, h13, h21, h22, h23, h31, h32, h33: ``homography_reference_frame``, row by row;
            the identity without success.
    """

    set: str
    sequence: str
    frames: int
    method: str
    frame: int
    corner_error: float
    distance: float
    success: bool
    seconds: float
    threads: int
    h11: float
    h12: float
    h13: float
    h21: float
    h22: float
    h23: float
    h31: float
    h32: float
    h33: float

    @property
    def key(self) -> RowKey:
        """What it belongs to, with the other frames of the sequence."""
        return RowKey(self.set, self.sequence, self.frames, self.method)

    @property
    def homography_reference_frame(self) -> Tensor:
        """(3, 3) float64, reference ~ H @ frame."""
        return torch.tensor(self[-9:], dtype=torch.float64).view(3, 3)


ALIGNMENT = Results(
    "diar_ops alignment evaluation",
    "alignment.csv",
    AlignmentRow,
    ("summary.md", "summary.csv", "comparisons.csv"),
)


def of_most_frames(rows: Iterable[AlignmentRow]) -> list[AlignmentRow]:
    """Return the rows of each sequence and method for the most frames aligned together."""
    rows = list(rows)
    most: dict[tuple[str, str, str], int] = {}
    for row in rows:
        place = (row.set, row.sequence, row.method)
        most[place] = max(row.frames, most.get(place, 0))
    return [row for row in rows if row.frames == most[row.set, row.sequence, row.method]]


def score_frame(
    key: RowKey,
    frame: int,
    found: Tensor,
    true: Tensor,
    *,
    success: bool,
    size: tuple[int, int],
    seconds: float,
    threads: int,
) -> AlignmentRow:
    """Return the row of a frame.

    Args:
        key: What it belongs to.
        frame: Which frame.
        found: (3, 3) float64, reference ~ H @ frame.
        true: The same, true.
        success: Whether the method calls it aligned.
        size: (height, width) of the frame.
        seconds: For the whole sequence.
        threads: How many could be used.
    """
    error = distance = math.inf
    if success:
        found = found / found[2, 2] if found[2, 2].abs() > 1e-12 else found
        error = round(float(corner_error(found, true, size=size)), 6)
        distance = round(float(homography_distance(found, true)), 6)
    else:
        found = torch.eye(3, dtype=torch.float64)
    # Adding zero takes the sign off -0.0.
    entries = [float(f"{value:.{DIGITS}g}") + 0.0 for value in found.flatten().tolist()]
    return AlignmentRow(*key, frame, error, distance, success, round(seconds, 4), threads, *entries)
