"""The cores of this machine: one process each."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing import connection as pipes
from typing import Any

from diar_ops._errors import OptionError
from diar_ops.engines.engine import Begin, Engine, LazyWork, Pool
from diar_ops.engines.threads import one_thread

#: Seconds that a worker has to clear away what it was at, before it is killed.
STOP_TIMEOUT = 10.0
_channel: list[Callable[[Any], None]] = []


def report_progress(value: object) -> None:
    """Pass a picklable value on to ``on_progress`` of the engine that runs this work, if it listens."""
    for send in _channel[-1:]:
        send(value)


class LocalEngine(Engine):
    """Work in processes of this machine; one that dies costs only what it was at.

    Args:
        workers: Processes side by side; 0 works in this process, None has one for each core.

    Raises:
        OptionError: ``workers`` is negative.
    """

    def __init__(self, workers: int | None = None) -> None:
        if workers is not None and workers < 0:
            raise OptionError(f"LocalEngine: expected workers >= 0, got {workers}")
        self.workers = _cores() if workers is None else workers

    def open_pool(self, begin: Begin[Any, Any], on_progress: Callable[[int, Any], None]) -> Pool:
        """Return the workers: see :meth:`Engine.open_pool`."""
        return _Processes(begin, self.workers) if self.workers else _ThisProcess(begin, on_progress)


class _Processes:
    """Workers in processes of their own, each with a pipe."""

    def __init__(self, begin: Begin[Any, Any], workers: int) -> None:
        self.limit = workers
        self.busy: dict[pipes.Connection, int] = {}  #: the task that each worker is at
        self._begin = begin
        self._idle: list[pipes.Connection] = []
        self._processes: dict[pipes.Connection, Any] = {}
        # Children forked from here would inherit locks that torch's threads hold. Those of a server
        # do not, and find torch loaded.
        self._context: Any = multiprocessing.get_context("spawn" if os.name == "nt" else "forkserver")
        self._context.set_forkserver_preload(["torch"])

    def submit(self, index: int, task: object) -> None:
        while self._idle:
            pipe = self._idle.pop()
            try:
                pipe.send(task)
            except OSError:  # it died while it had nothing to do
                self._stop([pipe])
            else:
                self.busy[pipe] = index
                return
        pipe, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._begin, dict(os.environ)), daemon=True)
        process.start()
        theirs.close()  # so that its end is the end of the pipe
        self._processes[pipe] = process
        self.busy[pipe] = index
        pipe.send(task)

    def wait(self) -> Iterator[tuple[int, str, Any]]:
        """Yield what workers tell: the index of the task, a kind, a value."""
        # Not for ever: on some systems an endless wait cannot be interrupted.
        for pipe in pipes.wait(list(self.busy), timeout=1.0):
            assert isinstance(pipe, pipes.Connection)
            try:
                kind, value = pipe.recv()
            except (EOFError, OSError):
                kind, value = "crash", _describe_end(self._processes[pipe])
            index = self.busy[pipe]
            if kind != "progress":
                del self.busy[pipe]
                if kind == "done":
                    self._idle.append(pipe)
                else:
                    self._stop([pipe])
            yield index, kind, value

    def close(self) -> None:
        self._stop(list(self._processes))

    def _stop(self, stopped: Sequence[pipes.Connection]) -> None:
        processes = [self._processes.pop(pipe) for pipe in stopped]
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(STOP_TIMEOUT)
            process.kill()
            process.join()
            process.close()
        for pipe in stopped:
            pipe.close()


class _ThisProcess:
    """The one worker that is no process of its own."""

    limit = 1

    def __init__(self, begin: Begin[Any, Any], on_progress: Callable[[int, Any], None]) -> None:
        self.busy: dict[int, Any] = {}  #: the task to come, by its index
        self._work, self._on_progress = LazyWork(begin), on_progress

    def submit(self, index: int, task: object) -> None:
        self.busy[index] = task

    def wait(self) -> Iterator[tuple[int, str, Any]]:
        index, task = self.busy.popitem()
        _channel.append(lambda value: self._on_progress(index, value))
        try:
            with one_thread():
                kind, value = self._work.answer(task)
        finally:
            _channel.pop()
        yield index, kind, value

    def close(self) -> None:
        self._work.close()


def _serve(pipe: pipes.Connection, begin: Begin[Any, Any], environment: Mapping[str, str]) -> None:
    """Be a worker: take tasks from the pipe and answer until it is closed, or this is stopped."""
    os.environ.update(environment)  # the server's is as old as the server
    # A Ctrl-C at the terminal is for the parent alone, which then stops its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _channel.append(lambda value: pipe.send(("progress", value)))
    work = LazyWork(begin)
    try:
        with one_thread():
            while True:
                pipe.send(work.answer(pipe.recv()))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        pass
    finally:
        work.close()


def _end_with_parent() -> None:
    """End this process at once when its parent is gone, however that ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _describe_end(process: Any) -> str:
    process.join(STOP_TIMEOUT)
    code = process.exitcode
    if code == -signal.SIGKILL:
        return "its process was killed, as systems do when memory is short"
    how = f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
    return f"its process {how}"


def _cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
