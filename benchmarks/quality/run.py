"""Work through sequences with an engine, and keep what is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.quality.plan import Plan, SourceT, Task
from benchmarks.quality.record import add_pictures, continue_results
from benchmarks.quality.rows import Results, Row, group_by, write_rows
from diar_ops._errors import DiarError
from diar_ops._folders import locked_folder
from diar_ops.engines import Engine, Failure
from diar_ops.engines.engine import Begin


def run_tasks(
    tasks: Sequence[Task[SourceT]], begin: Begin[Task[SourceT], list[Row]], engine: Engine
) -> Iterator[tuple[Task[SourceT], list[Row]]]:
    """Yield each task and its rows as soon as they are computed.

    Args:
        tasks: What is to be computed.
        begin: Loads what the work needs and returns the work, the rows of a task.
        engine: Where to.

    Raises:
        DiarError: Of a sequence; or its worker died time and again.
    """
    with closing(engine.map_unordered(begin, tasks)) as results:  # type: ignore[type-var]
        for index, rows in results:
            if isinstance(rows, Failure):
                raise DiarError(f"{tasks[index].source} cannot be computed: {rows.reason}; use fewer workers")
            yield tasks[index], rows


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
    begin: Begin[Task[SourceT], list[Row]],
    *,
    engine: Engine,
    title: str,
    unit: str = "sequence",
    overwrite: bool = False,
) -> list[Row]:
    """Compute what a folder lacks of a plan, and keep it there after each task.

    Args:
        out: The folder of the results.
        results: What they are.
        plan: Which are to be computed.
        record: Their :func:`settings_record`.
        begin: See :func:`run_tasks`.
        engine: Where to compute.
        title: Of the progress bar.
        unit: What a task is called there.
        overwrite: Begin anew, whatever is there.

    Returns:
        The rows of the plan, in its order.

    Raises:
        DiarError: Of :func:`continue_results` and :func:`run_tasks`, or another run holds the folder.
    """
    with locked_folder(out):
        rows = group_by(continue_results(out, results, record, overwrite=overwrite), lambda row: row.key)
        if plan.pictures:
            add_pictures(out, plan.pictures)
        tasks = list(plan.missing(rows))
        with progress_bar(title, unit) as progress:
            for done, (task, computed) in enumerate(run_tasks(tasks, begin, engine), 1):
                rows.update({key: [] for key in task.keys} | group_by(computed, lambda row: row.key))
                write_rows(out / results.table, (r for group in rows.values() for r in group), results)
                progress(done, len(tasks))
    return [row for key in plan.keys for row in rows[key]]
