"""Render data sets: many sequences, several Blender processes, resumable at any kill."""

from __future__ import annotations

import errno
import queue
import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import IO, Any

from diar_ops._checks import check_option
from diar_ops._errors import OutputError, RenderError
from diar_ops._files import explain, write_text_atomic
from diar_ops._folders import remove_stale_folders
from diar_ops._version import __version__
from diar_ops.cycles.sequence import render_sequence
from diar_ops.cycles.settings import DATASET, RenderSettings, check_same_dataset
from diar_ops.cycles.texture import TextureChoice
from diar_ops.cycles.worker import BlenderProcess, WorkerCrash, blender_command
from diar_ops.data.photos import list_images
from diar_ops.data.sequence_writer import DOCUMENT, format_document

__all__ = ["RenderedSet", "render_dataset"]

#: A process is replaced after so many sequences: whatever leaks, leaks only so far.
SEQUENCES_PER_PROCESS = 50
#: Free space below which a failure means that the disk is full: bytes in all, and per pixel of a
#: frame, whose passes have 27 channels of 2 bytes.
FULL, FULL_PER_PIXEL = 16 * 2**20, 64
LOCK = ".lock"


@dataclass(frozen=True)
class RenderedSet:
    """What :func:`render_dataset` did.

    Attributes:
        finished: Indices of the sequences rendered now.
        already: How many had been there before.
        failed: For each index that could not be rendered, why.
    """

    finished: list[int]
    already: int
    failed: dict[int, str]


@dataclass
class _Run:
    """What the threads of one run share."""

    folder: Path
    settings: RenderSettings
    choice: TextureChoice
    command: list[str]
    retries: int
    timeout: float
    todo: deque[int]
    events: queue.Queue[tuple[str, Any]] = field(default_factory=queue.Queue)
    stop: threading.Event = field(default_factory=threading.Event)
    processes: set[BlenderProcess] = field(default_factory=set)


def render_dataset(
    images: str | PathLike[str] | Iterable[str | PathLike[str]],
    out: str | PathLike[str],
    settings: RenderSettings,
    *,
    workers: int = 1,
    blender: str | PathLike[str] | None = None,
    retries: int = 2,
    timeout: float | None = None,
    progress: Callable[[int, int], None] | None = None,
    note: Callable[[str], None] | None = None,
) -> RenderedSet:
    """Render spoiled sequences of pictures with Blender Cycles, with exact ground truth.

    A sequence appears in ``out`` only when it is complete. Run again with the same settings, it
    goes on where it was stopped or killed; the result does not depend on that, nor on
    ``workers``. More ``sequences`` enlarge a set.

    Args:
        images: Pictures, or folders of them, as :func:`list_images` takes them.
        out: Folder of the data set.
        settings: What to render.
        workers: How many Blender processes, each on one core (or on the graphics card).
        blender: As :func:`blender_command` takes it.
        retries: How often a sequence is tried again after Blender crashed or hung.
        timeout: Seconds in which a frame must be done; by default a hundred times what it
            should take.
        progress: Called with (frames done, frames in all), those of earlier runs included.
        note: Called with a sentence for what went wrong and was got over.

    Returns:
        The :class:`RenderedSet`.

    Raises:
        ImageError: ``images`` has no picture that can be used.
        OptionError: An option is not as stated.
        OutputError: ``out`` holds something else, another run works in it, or it cannot be
            written to.
        RenderError: Blender is missing or cannot work here.
    """
    op, out = "render_dataset", Path(out)
    check_option(op, workers >= 1, "workers >= 1", workers)
    check_option(op, retries >= 0, "retries >= 0", retries)
    check_option(op, timeout is None or timeout > 0, "timeout above 0", timeout)
    if timeout is None:
        timeout = 300 + 2e-4 * settings.samples * settings.size[0] * settings.size[1]
    files = list_images(images)
    check_option(
        op,
        out.resolve() not in {file.resolve().parent for file in files},
        "another folder for out than that of the pictures",
        str(out),
    )
    choice = TextureChoice(files, settings.seed, settings.kind, settings.size)
    choice.read(0)  # before anything is written: is there a picture to render at all?
    command = blender_command(blender)
    try:
        probe = BlenderProcess(command, settings.device)
    except WorkerCrash as error:
        raise RenderError(f"{command[0]} does not start: {error}") from error
    probe.close()
    software = {"diar_ops": __version__, "blender": probe.blender}
    document = settings.document(files, software)
    with _locked(out):
        there = check_same_dataset(out / DATASET, document)
        if there is None and any(out.glob(f"[0-9]*/{DOCUMENT}")):
            raise OutputError(f"{out} holds sequences but no {DATASET}; choose another folder")
        remove_stale_folders(out)
        if there is not None:
            document["sequences"] = max(document["sequences"], int(there.get("sequences", 0)))
        if there != document:
            write_text_atomic(out / DATASET, format_document(document), overwrite=True)
        todo = [i for i in range(settings.sequences) if not _is_done(out, i)]
        run = _Run(out, settings, choice, command, retries, timeout, deque(todo))
        finished, failed = _supervise(run, min(workers, len(todo)), progress, note)
    return RenderedSet(finished, settings.sequences - len(todo), failed)


def _supervise(
    run: _Run,
    workers: int,
    progress: Callable[[int, int], None] | None,
    note: Callable[[str], None] | None,
) -> tuple[list[int], dict[int, str]]:
    """Start the threads, pass on what they report, and see that none outlives this call."""
    finished: list[int] = []
    failed: dict[int, str] = {}
    said: set[str] = set()
    total = run.settings.sequences * run.settings.frames
    done = total - len(run.todo) * run.settings.frames
    threads = [threading.Thread(target=_work, args=(run,)) for _ in range(workers)]
    running = len(threads)
    if progress is not None:
        progress(done, total)
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
            elif event == "finished":
                finished.append(value)
            elif event == "failed":
                failed[value[0]] = value[1]
            elif event == "frames":
                done += value
                if progress is not None:
                    progress(done, total)
            elif note is not None and value not in said:
                said.add(value)
                note(value)
    finally:
        run.stop.set()
        run.todo.clear()
        for process in list(run.processes):
            process.interrupt()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
    return sorted(finished), dict(sorted(failed.items()))


def _work(run: _Run) -> None:
    """Render sequences until none is left: the body of a thread with one Blender process."""
    process: BlenderProcess | None = None
    rendered = 0

    def end(process: BlenderProcess | None) -> None:
        if process is not None:
            run.processes.discard(process)
            process.close()

    try:
        while not run.stop.is_set():
            try:
                index = run.todo.popleft()
            except IndexError:
                return
            for attempt in range(run.retries + 1):
                frames = 0

                def on_frame() -> None:
                    nonlocal frames
                    frames += 1
                    run.events.put(("frames", 1))

                try:
                    if process is None or rendered >= SEQUENCES_PER_PROCESS:
                        end(process)
                        process, rendered = None, 0
                        process = BlenderProcess(run.command, run.settings.device)
                        run.processes.add(process)
                    if run.stop.is_set():
                        return
                    for sentence in render_sequence(
                        run.folder / _name(index),
                        index,
                        run.settings,
                        run.choice,
                        process,
                        timeout=run.timeout,
                        on_frame=on_frame,
                    ):
                        run.events.put(("note", f"skipped: {sentence}"))
                    rendered += 1
                    run.events.put(("finished", index))
                    break
                except WorkerCrash as crash:
                    if process is not None:
                        process.interrupt()  # one that hangs would not end when asked to
                    end(process)
                    process = None
                    if run.stop.is_set():
                        return
                    height, width = run.settings.size
                    needed = FULL + FULL_PER_PIXEL * height * width
                    if shutil.disk_usage(run.folder).free < needed:
                        raise OutputError(
                            f"cannot write {run.folder / _name(index)}: "
                            f"{explain(OSError(errno.ENOSPC, ''))}"
                        ) from crash
                    run.events.put(("frames", -frames))
                    if attempt < run.retries:
                        run.events.put(("note", f"sequence {index} is tried again: {crash}"))
                    else:
                        run.events.put(("failed", (index, str(crash))))
                        run.events.put(("frames", run.settings.frames))
    except OutputError as error:
        hint = "finished sequences stay, and the same command goes on from there"
        run.events.put(("fatal", OutputError(f"{error}; {hint}")))
    except BaseException as error:
        run.events.put(("fatal", error))
    finally:
        end(process)
        run.events.put(("end", None))


def _name(index: int) -> str:
    return f"{index:06d}"


def _is_done(out: Path, index: int) -> bool:
    return (out / _name(index) / DOCUMENT).is_file()


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Hold the folder for this run alone; the lock ends with the process, however that ends."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        file: IO[str] = (out / LOCK).open("a+", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {out}: {explain(error)}") from error
    with file:
        try:
            import fcntl
        except ImportError:  # not on this system: two runs would only do the work twice
            yield
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(f"another run is rendering into {out}; wait for it to end") from error
        except OSError:
            pass  # a file system without locks
        yield
