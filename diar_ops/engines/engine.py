"""What every engine does: map over tasks in workers, retry what dies, return results in order."""

from __future__ import annotations

import traceback
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")
#: Called once per worker: loads what the work needs and returns the work, one result per task.
Begin: TypeAlias = Callable[[], Callable[[TaskT], ResultT]]


class WorkerCrash(Exception):  # noqa: N818 - it never reaches the user
    """A worker died, hung, or lost what it works with; another one may succeed."""


@dataclass(frozen=True)
class Failure:
    """Stands for the result of a task whose worker died each time that it was tried.

    Attributes:
        reason: How the last one ended.
    """

    reason: str


class Pool(Protocol):
    """The workers of one run."""

    @property
    def busy(self) -> Sized:
        """The tasks that are submitted and not answered."""
        ...

    @property
    def limit(self) -> int:
        """How many that may be."""
        ...

    def submit(self, index: int, task: object) -> None:
        """Give a task to a worker."""

    def wait(self) -> Iterator[tuple[int, str, Any]]:
        """Yield what workers tell, after a while nothing: the index of a task, a kind, a value.

        Kinds are ``"done"`` with the result, ``"crash"`` with the reason, ``"error"`` with the error
        and its traceback, and ``"progress"`` with what the work reported.
        """
        ...

    def close(self) -> None:
        """Stop all workers."""


class Engine(ABC):
    """Where work is done: in which processes, on which machines.

    Work is what ``begin`` returns: a function of one task. ``begin``, tasks and results must be
    picklable; work with a method ``close`` is closed when its worker ends. Each worker computes
    with one thread, so that results depend neither on the engine nor on how many there are.
    """

    @abstractmethod
    def open_pool(self, begin: Begin[Any, Any], on_progress: Callable[[int, Any], None]) -> Pool:
        """Return workers for one run; ``on_progress`` is for those of this process alone."""

    def map_unordered(
        self,
        begin: Begin[TaskT, ResultT],
        tasks: Sequence[TaskT],
        *,
        retries: int = 2,
        on_progress: Callable[[int, Any], None] | None = None,
        on_retry: Callable[[int, str], None] | None = None,
    ) -> Iterator[tuple[int, ResultT | Failure]]:
        """Yield the index and the result of each task as soon as it is there.

        Closing the iterator stops all workers: consume it under ``contextlib.closing``.

        Args:
            begin: See :data:`Begin`.
            tasks: What the work is called with.
            retries: How often a task is tried again after its worker died, or raised
                :class:`WorkerCrash`.
            on_progress: Called with (index of the task, what its work passed to
                :func:`report_progress`), where the engine can.
            on_retry: Called with (index of the task, why it is tried again).

        Raises:
            Exception: That of a task or of ``begin``, other than :class:`WorkerCrash`; all others
                are stopped.
        """
        report, retry = on_progress or _ignore, on_retry or _ignore
        todo, attempts = deque(range(len(tasks))), Counter[int]()
        if not todo:
            return
        pool = self.open_pool(begin, report)
        try:
            while todo or pool.busy:
                while todo and len(pool.busy) < pool.limit:
                    index = todo.popleft()
                    pool.submit(index, tasks[index])
                for index, kind, value in pool.wait():
                    if kind == "progress":
                        report(index, value)
                    elif kind == "done":
                        yield index, value
                    elif kind == "error":
                        error, details = value
                        raise error from RuntimeError(details)
                    elif attempts[index] < retries:
                        attempts[index] += 1
                        todo.appendleft(index)
                        retry(index, value)
                    else:
                        yield index, Failure(value)
        finally:
            pool.close()

    def map(
        self, begin: Begin[TaskT, ResultT], tasks: Sequence[TaskT], *, retries: int = 2
    ) -> Iterator[ResultT | Failure]:
        """Yield the results in the order of the tasks; see :meth:`map_unordered`."""
        early: dict[int, ResultT | Failure] = {}
        wanted = 0
        with closing(self.map_unordered(begin, tasks, retries=retries)) as results:  # type: ignore[type-var]
            for index, result in results:
                early[index] = result
                while wanted in early:
                    yield early.pop(wanted)
                    wanted += 1


class LazyWork:
    """What a worker does: begins with its first task, and anew after a crash."""

    def __init__(self, begin: Begin[Any, Any]) -> None:
        self._begin = begin
        self._work: Callable[[Any], Any] | None = None

    def answer(self, task: object) -> tuple[str, Any]:
        """Work on a task; return kind and value as :meth:`Pool.wait` yields them."""
        try:
            if self._work is None:
                self._work = self._begin()
            return "done", self._work(task)
        except WorkerCrash as crash:
            self.close()
            return "crash", str(crash)
        except Exception as error:
            return "error", (error, traceback.format_exc())

    def close(self) -> None:
        """Close the work, if it can be, however its worker ends."""
        work, self._work = self._work, None
        with suppress(Exception):
            getattr(work, "close", bool)()


def _ignore(*_: Any) -> None:
    pass
