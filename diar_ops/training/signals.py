"""Ctrl-C and the like end a run between two steps, not within one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Heard", "heard_signals", "leave_signals"]


class Heard:
    """Whether a signal to stop has come."""

    any = False


@contextmanager
def heard_signals() -> Iterator[Heard]:
    """Note SIGINT and SIGTERM instead of dying; the second one is not waited for."""
    heard = Heard()
    if threading.current_thread() is not threading.main_thread():
        yield heard
        return

    def hear(number: int, frame: object) -> None:
        if heard.any:
            raise KeyboardInterrupt
        heard.any = True

    earlier = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield heard
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def leave_signals(index: int) -> None:
    """Leave Ctrl-C to the main process, which ends its workers itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
