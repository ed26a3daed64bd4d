"""Blender in a process of its own: find it, start it, give it jobs, survive its end."""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from diar_ops._errors import RenderError
from diar_ops.engines import WorkerCrash

SCRIPT = Path(__file__).with_name("blender_scene.py")
#: Seconds in which Blender must have started, or must end when asked to.
START_TIMEOUT, STOP_TIMEOUT = 180.0, 5.0
#: What ``import bpy`` needs on a bare Debian.
DEBIAN_PACKAGES = "libx11-6 libxrender1 libxfixes3 libxi6 libxkbcommon0 libsm6 libgl1"
_ENVIRONMENT = ".venv-render"


def blender_command(blender: str | os.PathLike[str] | None = None) -> list[str]:
    """Return the command that runs the scene script in an interpreter with ``bpy``.

    Args:
        blender: A Blender executable, or a Python interpreter with the package ``bpy``. By
            default the interpreter of ``make render-env``, in this folder or beside the library,
            or this interpreter if it has ``bpy``.

    Raises:
        RenderError: There is none.
    """
    if blender is None:
        folders = [Path.cwd(), Path(__file__).resolve().parents[2]]
        names = ("bin/python", "Scripts/python.exe")
        candidates = [folder / _ENVIRONMENT / name for folder in folders for name in names]
        interpreters = [path for path in candidates if path.is_file()]
        if not interpreters and find_spec("bpy") is None:
            raise RenderError(
                "rendering needs Blender's Python package bpy in an environment of its own: "
                "run `make render-env` once, or name a Blender 4.5 or newer with --blender PATH"
            )
        blender = interpreters[0] if interpreters else sys.executable
    executable = shutil.which(blender)
    if executable is None:
        raise RenderError(f"there is no program {blender}: expected a Blender executable or a Python with bpy")
    if Path(executable).name.lower().startswith("python"):
        return [executable, str(SCRIPT)]
    return [executable, "--background", "--factory-startup", "--python", str(SCRIPT), "--"]


class BlenderProcess:
    """One worker process; started at once, ended by :meth:`close`.

    Args:
        command: What to run.
        device: ``"cpu"``, ``"cuda"`` or ``"optix"``.

    Attributes:
        blender: Its version.

    Raises:
        RenderError: It cannot work on this machine, whatever the job.
        WorkerCrash: It ended or hung.
    """

    def __init__(self, command: list[str], device: str) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the user named the program
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
                encoding="utf-8",
                # A Ctrl-C at the terminal is for us alone: we end our workers ourselves.
                start_new_session=True,
            )
        except OSError as error:
            self._log.close()
            raise RenderError(f"cannot run {command[0]}: {error.strerror}") from error
        self._answers: queue.Queue[str] = queue.Queue()
        assert self._process.stdout is not None
        threading.Thread(target=_forward, args=(self._process.stdout, self._answers), daemon=True).start()
        try:
            self._send({"device": device})
            ready = self._answer(START_TIMEOUT, starting=True)
            if ready["event"] != "ready":
                raise RenderError(_start_error(ready, command[0]))
        except BaseException:
            self.kill()
            raise
        self.blender = str(ready["blender"])

    def render(self, job: Mapping[str, Any], *, timeout: float, on_frame: Callable[[str], None]) -> None:
        """Render one job; ``on_frame`` is called with each name that is complete.

        Args:
            job: As ``blender_scene.py`` takes it.
            timeout: Seconds that a frame may take.
            on_frame: Called with ``"label"``, ``"0"``, ...

        Raises:
            WorkerCrash: The process died, hung or failed; it is of no further use.
        """
        self._send(job)
        while True:
            answer = self._answer(timeout)
            if answer["event"] == "done":
                return
            if answer["event"] != "frame":
                raise WorkerCrash(" ".join(str(answer.get("message", answer)).split())[-300:])
            on_frame(str(answer["name"]))

    def close(self) -> None:
        """Ask the process to end, and see to it."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_TIMEOUT)
        self.kill()

    def kill(self) -> None:
        """End the process now and forget it."""
        with suppress(OSError):
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            with suppress(OSError, ValueError):
                if stream is not None and stream is not self._process.stdout:
                    stream.close()

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise WorkerCrash(self._describe_end()) from error

    def _answer(self, timeout: float, *, starting: bool = False) -> dict[str, Any]:
        """Wait for an answer; while ``starting``, what Blender prints of its own is passed over."""
        while True:
            try:
                line = self._answers.get(timeout=timeout)
            except queue.Empty:
                raise WorkerCrash(f"Blender gave no answer for {timeout:.0f} s") from None
            if not line:
                raise WorkerCrash(self._describe_end())
            try:
                answer = json.loads(line)
                answer["event"]
            except (ValueError, KeyError, TypeError):
                if not starting:
                    raise WorkerCrash(f"Blender answered {line[:100]!r}") from None
            else:
                return dict(answer)

    def _describe_end(self) -> str:
        """Return how the process ended, with the last line of its log."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_TIMEOUT)
        code = self._process.poll()
        how = f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - 4000))
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        messages = [line for line in lines if line.strip() and not line.startswith("Fra:")]
        return f"Blender {how}" + (f": {messages[-1].strip()[:300]}" if messages else "")


def _forward(stream: IO[str], answers: queue.Queue[str]) -> None:
    """Pass the lines of a stream on; an empty one is the end."""
    with suppress(OSError, ValueError), stream:
        for line in stream:
            answers.put(line)
    answers.put("")


def _start_error(answer: Mapping[str, Any], program: str) -> str:
    message = " ".join(str(answer.get("message", answer)).split())
    kind = answer.get("kind")
    if kind == "bpy":
        return (
            f"{program} has no package bpy ({message}): run `make render-env` once, or name a "
            "Blender 4.5 or newer with --blender PATH"
        )
    if kind == "library":
        return (
            f"bpy needs system libraries that are missing ({message}); on Debian and Ubuntu: "
            f"apt install {DEBIAN_PACKAGES}"
        )
    if kind == "version":
        return f"{program} is Blender {message}; Blender 4.5 or newer is needed"
    if kind == "device":
        return f"{message}; use --device cpu, or a machine with such a graphics card"
    return f"{program} did not start: {message}"
