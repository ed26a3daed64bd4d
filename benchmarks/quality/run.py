"""Work through sequences, side by side in several processes."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import torch
from tqdm import tqdm

from benchmarks.quality.plan import Plan, SourceT, Task
from benchmarks.quality.record import add_pictures, continue_results
from benchmarks.quality.rows import Results, Row, group_by, write_rows
from diar_ops._errors import DiarError

#: Called once per process: loads what the work needs and returns the work, the rows of a task.
WorkerFactory: TypeAlias = Callable[[], Callable[[Task[SourceT]], list[Row]]]


def run_tasks(
    tasks: Sequence[Task[SourceT]], begin: WorkerFactory[SourceT], *, workers: int
) -> Iterator[tuple[Task[SourceT], list[Row]]]:
    """Yield each task and its rows as soon as they are computed.

    They do not depend on the number of workers: each works with one thread.

    Args:
        tasks: What is to be computed.
        begin: See :data:`WorkerFactory`; with several workers it must be picklable.
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
        raise DiarError("a worker process was killed, as systems do when memory is short; use fewer workers") from error
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


_worker: list[Callable[[Task[Any]], list[Row]]] = []


def _begin_worker(begin: WorkerFactory[Any]) -> None:
    import cv2

    # Ctrl-C ends a worker at once and without a word.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _worker[:] = [begin()]


def _work(task: Task[Any]) -> list[Row]:
    return _worker[0](task)


@contextmanager
def progress_bar(words: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar that is called with (done, in all); none where nobody watches, as in a log."""
    with tqdm(desc=words, unit=unit, disable=None) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show


def complete_results(
    out: Path,
    results: Results,
    plan: Plan[SourceT],
    record: dict[str, Any],
    begin: WorkerFactory[SourceT],
    *,
    title: str,
    unit: str = "sequence",
    workers: int = 1,
    overwrite: bool = False,
) -> list[Row]:
    """Compute what a folder lacks of a plan, and keep it there after each task.

    Args:
        out: The folder of the results.
        results: What they are.
        plan: Which are to be computed.
        record: Their :func:`settings_record`.
        begin: See :data:`WorkerFactory`.
        title: Of the progress bar.
        unit: What a task is called there.
        workers: Processes side by side.
        overwrite: Begin anew, whatever is there.

    Returns:
        The rows of the plan, in its order.

    Raises:
        DiarError: Of :func:`continue_results` and :func:`run_tasks`.
    """
    rows = group_by(continue_results(out, results, record, overwrite=overwrite), lambda row: row.key)
    if plan.pictures:
        add_pictures(out, plan.pictures)
    tasks = list(plan.missing(rows))
    with progress_bar(title, unit) as progress:
        for done, (task, computed) in enumerate(run_tasks(tasks, begin, workers=workers), 1):
            rows.update({key: [] for key in task.keys} | group_by(computed, lambda row: row.key))
            write_rows(out / results.table, (r for group in rows.values() for r in group), results)
            progress(done, len(tasks))
    return [row for key in plan.keys for row in rows[key]]
