"""Work for engines to do: importable, as workers are processes of their own."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from diar_ops import DiarError
from diar_ops.engines import WorkerCrash, report_progress


class Job(NamedTuple):
    """A task: what to do in which folder."""

    number: int
    folder: Path
    what: str = ""
    times: int = 1  #: how often to fail before it is done


class Squares:
    """Squares numbers, or fails as a task asks; keeps a record of its life in the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / f"begun-{os.getpid()}-{time.monotonic_ns()}").touch()

    def __call__(self, job: Job) -> tuple[int, int]:
        tried = len(list(job.folder.glob(f"tried-{job.number}-*")))
        (job.folder / f"tried-{job.number}-{tried}").touch()
        report_progress(job.number)
        if tried < job.times:
            if job.what == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if job.what == "exit":
                os._exit(3)
            if job.what == "crash":
                raise WorkerCrash("it fell over")
            if job.what == "refuse":
                raise DiarError("no such number")
            if job.what == "bug":
                raise ZeroDivisionError("a bug")
        if job.what == "slow":
            time.sleep(0.3)
        if job.what == "stop":
            try:
                (job.folder / "stopping").touch()
                time.sleep(60)
            finally:
                (job.folder / "cleared").touch()
        return job.number**2, torch.get_num_threads()

    def close(self) -> None:
        (self.folder / f"closed-{os.getpid()}").touch()


class Begin:
    """Picklable, as ``begin`` must be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self) -> Callable[[Job], tuple[int, int]]:
        return Squares(self.folder)


def broken() -> Callable[[Job], int]:
    raise DiarError("weights are missing")
