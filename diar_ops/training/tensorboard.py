"""Logs of a run for TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["TensorBoardLog", "open_log"]

#: Steps between the points of the curves of training.
LOG_EVERY = 20


class TensorBoardLog:
    """A log of numbers over steps; one without a writer logs nothing."""

    def __init__(self, writer: Any = None) -> None:
        self.writer = writer

    def add_training(self, step: int, numbers: Mapping[str, float]) -> None:
        """Log numbers of a training step, every so many steps."""
        if step % LOG_EVERY == 0:
            self._add("train", step, numbers)

    def add_validation(self, step: int, scores: Mapping[str, float]) -> None:
        """Log scores of a validation."""
        self._add("validation", step, scores)

    def _add(self, group: str, step: int, numbers: Mapping[str, float]) -> None:
        if self.writer is not None:
            for name, number in numbers.items():
                self.writer.add_scalar(f"{group}/{name}", number, step)


@contextmanager
def open_log(folder: Path, *, step: int, note: Callable[[str], None]) -> Iterator[TensorBoardLog]:
    """Open the log in a folder, if TensorBoard is installed.

    Args:
        folder: Where the files of the log lie.
        step: Steps done: later points of an earlier run that was killed are dropped.
        note: Called with a sentence where TensorBoard is missing.

    Yields:
        The log.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        note("no TensorBoard logs: pip install 'diar-ops[train]' for them")
        yield TensorBoardLog()
        return
    writer = SummaryWriter(str(folder), purge_step=step + 1)
    try:
        yield TensorBoardLog(writer)
    finally:
        writer.close()
