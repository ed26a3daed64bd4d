"""Work through sequences, side by side in several processes."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

import torch

from diar_ops._errors import DiarError
from diar_ops.evaluation.rows import RowKey, RowT

__all__ = ["AnyTask", "Begin", "Task", "TaskT", "one_thread", "run_tasks"]


class AnyTask(Protocol):
    """What is to be computed at one go."""

    @property
    def wanted(self) -> tuple[RowKey, ...]:
        """Results of it, at least one."""


TaskT = TypeVar("TaskT", bound=AnyTask)


class Task(NamedTuple):
    """What is to be computed of one sequence.

    Attributes:
        folder: Of the sequence.
        wanted: Results of it, at least one.
    """

    folder: Path
    wanted: tuple[RowKey, ...]


#: Called once per process: loads what the work needs and returns the work, the rows of a task.
Begin: TypeAlias = Callable[[], Callable[[TaskT], list[RowT]]]


def run_tasks(
    tasks: Sequence[TaskT], begin: Begin[TaskT, RowT], *, workers: int
) -> Iterator[tuple[TaskT, list[RowT]]]:
    """Yield each task and its rows as soon as they are there.

    They do not depend on the number of workers: each works with one thread.

    Args:
        tasks: What is to be computed.
        begin: See :data:`Begin`; with several workers it must be picklable.
        workers: Processes side by side; one works in this process.

    Raises:
        DiarError: Of a sequence; or a worker was killed.
    """
    if workers == 1 or len(tasks) <= 1:
        with one_thread():
            work = begin()
            for task in tasks:
                yield task, work(task)
        return
    pool = ProcessPoolExecutor(
        min(workers, len(tasks)),
        # Forked children would inherit locks that torch's threads hold.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin_worker,
        initargs=(begin,),
    )
    try:
        futures = {pool.submit(_work, task): task for task in tasks}
        for done in as_completed(futures):
            yield futures[done], done.result()
    except BrokenProcessPool as error:
        raise DiarError(
            "a worker process was killed, as systems do when memory is short; use fewer workers"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch and OpenCV work with one thread.

    What they compute then does not depend on the machine's, and times can be compared.
    """
    import cv2

    threads, others = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        cv2.setNumThreads(others)


_worker: list[Callable[[Any], list[Any]]] = []


def _begin_worker(begin: Begin[Any, Any]) -> None:
    import cv2

    # Ctrl-C ends a worker at once and without a word.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _worker[:] = [begin()]


def _work(task: AnyTask) -> list[Any]:
    return _worker[0](task)
