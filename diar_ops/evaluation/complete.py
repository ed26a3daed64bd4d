"""Results of a plan: those that are there, and those that are still to be computed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from diar_ops.evaluation.record import Results, continue_results, keep_pictures
from diar_ops.evaluation.rows import RowKey, RowT, write_rows
from diar_ops.evaluation.run import AnyTask, Begin, TaskT, run_tasks

__all__ = ["AnyPlan", "complete_results"]

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
