"""Share the sequences of a set out to threads, each with a Blender process of its own."""

from __future__ import annotations

import errno
import queue
import shutil
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diar_ops._errors import OutputError
from diar_ops._files import describe_os_error
from diar_ops.cycles.sequence import render_sequence
from diar_ops.cycles.settings import RenderSettings
from diar_ops.cycles.texture import TextureChoice
from diar_ops.cycles.worker import BlenderProcess, WorkerCrash

#: A process is replaced after so many sequences: whatever leaks, leaks only so far.
SEQUENCES_PER_PROCESS = 50
#: Free space below which a failure means that the disk is full: bytes in all, and per pixel of a
#: frame, whose passes have 27 channels of 2 bytes.
FULL, FULL_PER_PIXEL = 16 * 2**20, 64


@dataclass
class RenderRun:
    """What the threads of one run share; the options are those of :func:`render_dataset`."""

    folder: Path
    settings: RenderSettings
    choice: TextureChoice
    command: list[str]
    retries: int
    timeout: float
    todo: deque[int]  #: indices of sequences
    #: what the threads report: a kind and its value
    events: queue.Queue[tuple[str, Any]] = field(default_factory=queue.Queue)
    stop: threading.Event = field(default_factory=threading.Event)
    processes: set[BlenderProcess] = field(default_factory=set)


def sequence_name(index: int) -> str:
    """Return the name of a sequence's folder."""
    return f"{index:06d}"


def render_sequences(
    run: RenderRun, workers: int, progress: Callable[[int, int], None] | None, note: Callable[[str], None] | None
) -> tuple[list[int], dict[int, str]]:
    """Render what is to do in threads, pass on what they report, and let none outlive the call.

    Returns:
        The indices that were finished, and for each that failed, why.
    """
    report = _Report(run, progress or _ignore, note or _ignore)
    threads = [threading.Thread(target=_Worker(run).work) for _ in range(workers)]
    running = len(threads)
    try:
        for thread in threads:
            thread.start()
        while running:
            try:
                # Not for ever: on some systems an endless wait cannot be interrupted.
                event, value = run.events.get(timeout=1.0)
            except queue.Empty:
                continue
            if event == "end":
                running -= 1
            elif event == "fatal":
                raise value
            else:
                report.add(event, value)
    finally:
        run.stop.set()
        run.todo.clear()
        for process in list(run.processes):
            process.interrupt()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
    return sorted(report.finished), dict(sorted(report.failed.items()))


def _ignore(*_: Any) -> None:
    pass


class _Report:
    """Counts what the threads report."""

    def __init__(self, run: RenderRun, progress: Callable[[int, int], None], note: Callable[[str], None]) -> None:
        self.finished: list[int] = []
        self.failed: dict[int, str] = {}
        self._notes: set[str] = set()
        self._progress, self._note = progress, note
        self._total = run.settings.sequences * run.settings.frames
        self._done = self._total - len(run.todo) * run.settings.frames
        progress(self._done, self._total)

    def add(self, event: str, value: Any) -> None:
        if event == "finished":
            self.finished.append(value)
        elif event == "failed":
            index, reason = value
            self.failed[index] = reason
        elif event == "frames":
            self._done += value
            self._progress(self._done, self._total)
        elif value not in self._notes:
            self._notes.add(value)
            self._note(value)


class _Worker:
    """The body of a thread with one Blender process."""

    def __init__(self, run: RenderRun) -> None:
        self.run = run
        self.process: BlenderProcess | None = None
        self.rendered = 0

    def work(self) -> None:
        """Render sequences until none is left."""
        run = self.run
        try:
            while not run.stop.is_set():
                try:
                    index = run.todo.popleft()
                except IndexError:
                    return
                self._render(index)
        except OutputError as error:
            hint = "finished sequences stay, and the same command goes on from there"
            run.events.put(("fatal", OutputError(f"{error}; {hint}")))
        except BaseException as error:
            run.events.put(("fatal", error))
        finally:
            self._end_process()
            run.events.put(("end", None))

    def _render(self, index: int) -> None:
        """Render a sequence, again after a crash, and report how it ends."""
        run = self.run
        for attempt in range(run.retries + 1):
            frames = 0

            def on_frame() -> None:
                nonlocal frames
                frames += 1
                run.events.put(("frames", 1))

            try:
                self._attempt(index, on_frame)
                return
            except WorkerCrash as crash:
                if self.process is not None:
                    self.process.interrupt()  # one that hangs would not end when asked to
                self._end_process()
                if run.stop.is_set():
                    return
                self._check_disk(index, crash)
                run.events.put(("frames", -frames))
                if attempt < run.retries:
                    run.events.put(("note", f"sequence {index} is tried again: {crash}"))
                else:
                    run.events.put(("failed", (index, str(crash))))
                    run.events.put(("frames", run.settings.frames))

    def _attempt(self, index: int, on_frame: Callable[[], None]) -> None:
        run = self.run
        if self.process is None or self.rendered >= SEQUENCES_PER_PROCESS:
            self._end_process()
            self.process, self.rendered = BlenderProcess(run.command, run.settings.device), 0
            run.processes.add(self.process)
        if run.stop.is_set():
            return
        skipped = render_sequence(
            run.folder / sequence_name(index),
            index,
            run.settings,
            run.choice,
            self.process,
            timeout=run.timeout,
            on_frame=on_frame,
        )
        for sentence in skipped:
            run.events.put(("note", f"skipped: {sentence}"))
        self.rendered += 1
        run.events.put(("finished", index))

    def _check_disk(self, index: int, crash: WorkerCrash) -> None:
        """Raise OutputError if a crash comes from a full disk: Blender does not say so."""
        height, width = self.run.settings.size
        needed = FULL + FULL_PER_PIXEL * height * width
        if shutil.disk_usage(self.run.folder).free < needed:
            path, reason = (self.run.folder / sequence_name(index), describe_os_error(OSError(errno.ENOSPC, "")))
            raise OutputError(f"cannot write {path}: {reason}") from crash

    def _end_process(self) -> None:
        if self.process is not None:
            self.run.processes.discard(self.process)
            self.process.close()
        self.process = None
