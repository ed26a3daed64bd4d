"""Work through sequences, side by side in several processes."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

import torch

from benchmarks.quality.record import Results, continue_results, keep_pictures
from benchmarks.quality.rows import RowKey, RowT, write_rows
from diar_ops._errors import DiarError

__all__ = [
    "AnyPlan",
    "AnyTask",
    "Begin",
    "Task",
    "TaskT",
    "complete_results",
    "one_thread",
    "run_tasks",
]


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


_TaskT = TypeVar("_TaskT", bound=AnyTask, covariant=True)


class AnyPlan(Protocol[_TaskT]):
    """Which results are wanted, such as :class:`Plan`."""

    @property
    def keys(self) -> Sequence[RowKey]:
        """All of them, in order."""

    @property
    def pictures(self) -> Mapping[tuple[str, str], str]:
        """Which picture each sequence of a set shows, where that is known."""

    def tasks(self, done: Collection[RowKey]) -> Iterator[_TaskT]:
        """Yield what is still to be computed."""


def complete_results(
    out: Path,
    results: Results[RowT],
    plan: AnyPlan[TaskT],
    record: dict[str, Any],
    begin: Begin[TaskT, RowT],
    *,
    workers: int = 1,
    overwrite: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> list[RowT]:
    """Compute what a folder lacks of a plan, and keep it there after each task.

    Args:
        out: The folder of the results.
        results: What they are.
        plan: Which are wanted.
        record: Their :func:`settings_record`.
        begin: See :data:`Begin`.
        workers: Processes side by side.
        overwrite: Begin anew, whatever is there.
        progress: Called with (tasks done, in all) of those that were to do.

    Returns:
        The rows that are wanted, in the order of the plan.

    Raises:
        DiarError: Of :func:`continue_results` and :func:`run_tasks`.
    """
    rows: dict[RowKey, list[RowT]] = {}
    for row in continue_results(out, results, record, overwrite=overwrite):
        rows.setdefault(row.key, []).append(row)
    if plan.pictures:
        keep_pictures(out, plan.pictures)
    tasks = list(plan.tasks(rows))
    for done, (task, found) in enumerate(run_tasks(tasks, begin, workers=workers)):
        rows.update((key, [row for row in found if row.key == key]) for key in task.wanted)
        write_rows(out / results.table, (r for of in rows.values() for r in of), results.row)
        if progress is not None:
            progress(done + 1, len(tasks))
    return [row for key in plan.keys for row in rows[key]]
