"""Logs of a run for TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

#: Logs a group of numbers by name: ``log(group, step, numbers)``.
Log = Callable[[str, int, Mapping[str, float]], None]


def no_log(group: str, step: int, numbers: Mapping[str, float]) -> None:
    """Log nothing."""


@contextmanager
def open_log(folder: Path, *, step: int, note: Callable[[str], None]) -> Iterator[Log]:
    """Open a log in a folder, or one of nothing where TensorBoard is not installed.

    Args:
        folder: Where the files of the log lie.
        step: Steps done: later points, of a run that was killed, are dropped.
        note: Called with a sentence where TensorBoard is missing.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        note("no TensorBoard logs: pip install 'diar-ops[train]' for them")
        yield no_log
        return
    writer = SummaryWriter(str(folder), purge_step=step + 1)

    def log(group: str, step: int, numbers: Mapping[str, float]) -> None:
        for name, number in numbers.items():
            writer.add_scalar(f"{group}/{name}", number, step)

    try:
        yield log
    finally:
        writer.close()
