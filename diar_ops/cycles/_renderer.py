"""The sequences of a set as work for an engine, each worker with a Blender process of its own."""

from __future__ import annotations

import errno
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diar_ops._errors import OutputError
from diar_ops._files import describe_os_error
from diar_ops.cycles.sequence import render_sequence
from diar_ops.cycles.settings import RenderSettings
from diar_ops.cycles.texture import TextureChoice
from diar_ops.cycles.worker import BlenderProcess
from diar_ops.engines import Engine, Failure, WorkerCrash, report_progress

#: A process is replaced after so many sequences: whatever leaks, leaks only so far.
SEQUENCES_PER_PROCESS = 50
#: Free space below which a failure means that the disk is full: bytes in all, and per pixel of a
#: frame, whose passes have 27 channels of 2 bytes.
FULL, FULL_PER_PIXEL = 16 * 2**20, 64


@dataclass(frozen=True)
class RenderJob:
    """What all sequences of a run share; called, it begins the work of an engine's worker."""

    folder: Path
    settings: RenderSettings
    choice: TextureChoice
    command: list[str]  #: that runs Blender
    timeout: float  #: seconds that a frame may take

    def __call__(self) -> SequenceRenderer:
        """Return the work."""
        return SequenceRenderer(self)


def sequence_name(index: int) -> str:
    """Return the name of a sequence's folder."""
    return f"{index:06d}"


def render_sequences(
    job: RenderJob,
    todo: Sequence[int],
    engine: Engine,
    *,
    retries: int,
    progress: Callable[[int, int], None] | None,
    note: Callable[[str], None] | None,
) -> tuple[list[int], dict[int, str]]:
    """Render the sequences ``todo`` and pass on what the workers tell.

    Returns:
        The indices that were finished, and for each that failed, why.
    """
    report = _Report(job.settings, todo, progress or _ignore, note or _ignore)
    results = engine.map_unordered(
        job, todo, retries=retries, on_progress=report.add_frame, on_retry=report.forget_frames
    )
    try:
        with closing(results):  # type: ignore[type-var]
            for index, result in results:
                report.add(index, result)
    except OutputError as error:
        hint = "finished sequences stay, and the same command goes on from there"
        raise OutputError(f"{error}; {hint}") from error
    return sorted(report.finished), dict(sorted(report.failed.items()))


def _ignore(*_: Any) -> None:
    pass


class _Report:
    """Counts what the workers tell, of tasks by their index."""

    def __init__(
        self,
        settings: RenderSettings,
        todo: Sequence[int],
        progress: Callable[[int, int], None],
        note: Callable[[str], None],
    ) -> None:
        self.finished: list[int] = []
        self.failed: dict[int, str] = {}
        self._todo, self._frames = todo, settings.frames
        self._notes: set[str] = set()
        self._progress, self._note = progress, note
        self._total = settings.sequences * settings.frames
        self._done = self._total - len(todo) * settings.frames
        self._begun: Counter[int] = Counter()  # frames of sequences that are not done
        progress(self._done, self._total)

    def add_frame(self, task: int, _: Any) -> None:
        self._begun[task] += 1
        self._move(1)

    def forget_frames(self, task: int, reason: str) -> None:
        self._move(-self._begun.pop(task, 0))
        self._say(f"sequence {self._todo[task]} is tried again: {reason}")

    def add(self, task: int, result: list[str] | Failure) -> None:
        self._move(self._frames - self._begun.pop(task, 0))
        if isinstance(result, Failure):
            self.failed[self._todo[task]] = result.reason
            return
        self.finished.append(self._todo[task])
        for sentence in result:
            self._say(f"skipped: {sentence}")

    def _move(self, frames: int) -> None:
        self._done += frames
        if frames:
            self._progress(self._done, self._total)

    def _say(self, sentence: str) -> None:
        if sentence not in self._notes:
            self._notes.add(sentence)
            self._note(sentence)


class SequenceRenderer:
    """The work of one worker."""

    def __init__(self, job: RenderJob) -> None:
        self.job = job
        self._process: BlenderProcess | None = None
        self._rendered = 0

    def __call__(self, index: int) -> list[str]:
        """Render a sequence; return a sentence for each picture that could not be read."""
        job = self.job
        if self._process is None or self._rendered >= SEQUENCES_PER_PROCESS:
            self.close()
            self._process, self._rendered = BlenderProcess(job.command, job.settings.device), 0
        try:
            skipped = render_sequence(
                job.folder / sequence_name(index),
                index,
                job.settings,
                job.choice,
                self._process,
                timeout=job.timeout,
                on_frame=lambda: report_progress(1),
            )
        except BaseException as error:
            self._process.kill()  # what hangs, or is at a frame, would not end when asked to
            self._process = None
            if isinstance(error, WorkerCrash):
                self._check_disk(index, error)
            raise
        self._rendered += 1
        return skipped

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.close()
        self._process = None

    def _check_disk(self, index: int, crash: WorkerCrash) -> None:
        """Raise OutputError if a crash comes from a full disk: Blender does not say so."""
        height, width = self.job.settings.size
        needed = FULL + FULL_PER_PIXEL * height * width
        if shutil.disk_usage(self.job.folder).free < needed:
            path, reason = (self.job.folder / sequence_name(index), describe_os_error(OSError(errno.ENOSPC, "")))
            raise OutputError(f"cannot write {path}: {reason}") from crash
