"""Stopping a run between two steps when SIGINT or SIGTERM comes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class StopRequest:
    """Whether a signal to stop has come."""

    received = False


@contextmanager
def catch_stop_signals() -> Iterator[StopRequest]:
    """Note the first SIGINT or SIGTERM instead of dying of it.

    Outside the main thread, which alone may handle signals, nothing is caught.

    Yields:
        Whether one has come.

    Raises:
        KeyboardInterrupt: A second signal has come.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def handle(number: int, frame: object) -> None:
        if request.received:
            raise KeyboardInterrupt
        request.received = True

    earlier = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def leave_signals_to_parent(worker: int) -> None:
    """Let a worker of a data loader ignore Ctrl-C: the main process ends its workers itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
