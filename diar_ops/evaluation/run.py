"""Score methods on sequences, side by side in several processes."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch

from diar_ops._errors import DiarError
from diar_ops.evaluation.aligned import load_aligned
from diar_ops.evaluation.disturbance import Disturbance
from diar_ops.evaluation.methods import Method, find_methods
from diar_ops.evaluation.rows import Row, RowKey
from diar_ops.evaluation.scores import SCORES, score_picture

__all__ = ["Task", "one_thread", "run_tasks", "score_sequence"]


class Task(NamedTuple):
    """What is to be computed of one sequence.

    Attributes:
        folder: Of the sequence.
        wanted: Results of it, at least one.
        disturbance: Of its alignment.
    """

    folder: Path
    wanted: tuple[RowKey, ...]
    disturbance: Disturbance


def score_sequence(task: Task, methods: Sequence[Method]) -> list[Row]:
    """Compute the results of a sequence, in the order in which they are wanted."""
    restore = {method.name: method.restore for method in methods}
    aligned = load_aligned(task.folder, max(key.frames for key in task.wanted), task.disturbance)
    rows = []
    for key in task.wanted:
        frames, valid, label = taken = aligned.first(key.frames)
        scores = score_picture(restore[key.method](frames, valid), label, taken.shown)
        rows.append(Row(*key, *(scores[name] for name in SCORES)))
    return rows


def run_tasks(tasks: Sequence[Task], words: Sequence[str], *, workers: int) -> Iterator[list[Row]]:
    """Yield the results of each sequence as soon as they are there.

    They do not depend on the number of workers: each works with one thread.

    Args:
        tasks: What is to be computed.
        words: The methods, as :func:`find_methods` takes them.
        workers: Processes side by side; one works in this process.

    Raises:
        DiarError: Of a sequence; or a worker was killed.
    """
    if workers == 1 or len(tasks) <= 1:
        methods, _ = find_methods(words)
        with one_thread():
            for task in tasks:
                yield score_sequence(task, methods)
        return
    pool = ProcessPoolExecutor(
        min(workers, len(tasks)),
        # Forked children would inherit locks that torch's threads hold.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin_worker,
        initargs=(tuple(words),),
    )
    try:
        for done in as_completed([pool.submit(_score_in_worker, task) for task in tasks]):
            yield done.result()
    except BrokenProcessPool as error:
        raise DiarError(
            "a worker process was killed, as systems do when memory is short; use fewer workers"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch work with one thread: what it computes then does not depend on the machine's."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


_worker_methods: list[Method] = []


def _begin_worker(words: tuple[str, ...]) -> None:
    # Ctrl-C ends a worker at once and without a word.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    torch.set_num_threads(1)
    _worker_methods[:] = find_methods(words)[0]


def _score_in_worker(task: Task) -> list[Row]:
    return score_sequence(task, _worker_methods)
