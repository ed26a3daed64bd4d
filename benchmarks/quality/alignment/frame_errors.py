"""Align sequences by several methods, and measure how far off each frame is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.quality.alignment.aligners import AlignerFiles, resolve_aligners
from benchmarks.quality.alignment.pairwise import Aligner
from benchmarks.quality.plan import Task
from benchmarks.quality.rows import KEY_COLUMNS, Results, Row, RowKey, select_most_frames
from diar_ops._seeds import generator_for
from diar_ops.data import SequenceDataset
from diar_ops.geometry import corner_error, homography_distance

#: Columns of ``homography_reference_frame``, row by row.
ENTRIES = tuple(f"h{row}{column}" for row in (1, 2, 3) for column in (1, 2, 3))
#: What a method makes of one frame of a sequence, and how far off it is. ``frames`` were aligned
#: together, the reference among them. ``frame``: which one, from 1 on; frame 0 is the reference
#: of all methods. ``corner_error``: mean distance of the frame's four corners, warped to the
#: reference, from where they belong, in pixels of the reference, and ``distance``:
#: :func:`homography_distance`; both infinite without success. ``success``: whether the method
#: calls the frame aligned. ``seconds``: of the processor for the whole sequence, its files read,
#: with so many ``threads``. The homography is the identity without success.
ALIGNMENT = Results(
    "diar_ops alignment evaluation",
    "alignment.csv",
    {
        **KEY_COLUMNS,
        "frame": int,
        "corner_error": float,
        "distance": float,
        "success": bool,
        "seconds": float,
        "threads": int,
        **dict.fromkeys(ENTRIES, float),
    },
    ("summary.md", "summary.csv", "comparisons.csv"),
)
#: Significant digits of a stored homography.
DIGITS = 12


def homography_of(row: Row) -> Tensor:
    """Return ``homography_reference_frame`` of a row, (3, 3) float64, reference ~ H @ frame."""
    return torch.tensor([row.values[name] for name in ENTRIES], dtype=torch.float64).view(3, 3)


def of_most_frames(rows: Iterable[Row]) -> list[Row]:
    """Return the rows of each sequence and method for the most frames aligned together."""
    return select_most_frames(rows, lambda row: (row.set, row.sequence, row.method))


def align_and_score(task: Task[Path], aligners: Sequence[Aligner]) -> list[Row]:
    """Compute the results of a sequence, in the order of its keys.

    Frame 0 is the reference of every method, and has no row. The time is that of the processor,
    which does not count what else the machine does.
    """
    align = {aligner.name: aligner.align for aligner in aligners}
    item = SequenceDataset(task.source, frames=max(key.frames for key in task.keys))[0]
    to_label = torch.linalg.inv(item["homography_frame_label"])
    true = item["homography_frame_label"][0] @ to_label
    size = (item["frames"].shape[-2], item["frames"].shape[-1])
    rows = []
    for key in task.keys:
        start = time.process_time()
        estimate = align[key.method](item["frames"][: key.frames])
        seconds = time.process_time() - start
        rows += [
            score_frame(
                key,
                t,
                estimate.homography_reference_frame[t],
                true[t],
                success=bool(estimate.success[t]),
                size=size,
                seconds=seconds,
            )
            for t in range(1, key.frames)
        ]
    return rows


def begin_alignment(words: Sequence[str], files: AlignerFiles) -> Callable[[Task[Path]], list[Row]]:
    """Build the function that scores one task, in the process that calls it.

    Args:
        words: The methods, as :func:`resolve_aligners` takes them.
        files: Their weights.
    """
    aligners, _ = resolve_aligners(words, files)
    # The first call of anything loads libraries, which is not the method's time.
    noise = torch.rand(3, 3, 64, 64, generator=generator_for("warm-up"))
    for aligner in aligners:
        aligner.align(noise)
    return partial(align_and_score, aligners=aligners)


def score_frame(
    key: RowKey, frame: int, estimate: Tensor, true: Tensor, *, success: bool, size: tuple[int, int], seconds: float
) -> Row:
    """Return the row of a frame, see :data:`ALIGNMENT`.

    Args:
        key: What it belongs to.
        frame: Which frame.
        estimate: (3, 3) float64, reference ~ H @ frame.
        true: The same, true.
        success: Whether the method calls it aligned.
        size: (height, width) of the frame.
        seconds: For the whole sequence.
    """
    error = distance = math.inf
    if success:
        estimate = estimate / estimate[2, 2] if estimate[2, 2].abs() > 1e-12 else estimate
        error = round(float(corner_error(estimate, true, size=size)), 6)
        distance = round(float(homography_distance(estimate, true)), 6)
    else:
        estimate = torch.eye(3, dtype=torch.float64)
    # Adding zero takes the sign off -0.0.
    entries = [float(f"{value:.{DIGITS}g}") + 0.0 for value in estimate.flatten().tolist()]
    values = {
        "frame": frame,
        "corner_error": error,
        "distance": distance,
        "success": success,
        "seconds": round(seconds, 4),
        "threads": torch.get_num_threads(),
        **dict(zip(ENTRIES, entries, strict=True)),
    }
    return Row(*key, values)
