"""What a terminal shows of a run: sentences, and bars with the time that is left."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from diar_ops.cli.ending import name_flags, say
from diar_ops.results import Listener


class TerminalListener(Listener):
    """Prints what a run tells, and shows bars of its progress.

    Args:
        quiet: Show nothing but warnings.
        reserved: The standard output is reserved for the result; what is told goes to the error.
    """

    def __init__(self, *, quiet: bool = False, reserved: bool = False) -> None:
        self.quiet, self.reserved = quiet, reserved

    def info(self, sentence: str) -> None:
        """Print a sentence."""
        if not self.quiet:
            say(sentence, error=self.reserved)

    def warning(self, sentence: str) -> None:
        """Print a sentence to the standard error."""
        say(name_flags(sentence), error=True)

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[..., None]]:
        """Show the progress of a step, one bar for each label that it gives to what it does."""
        bars: dict[str | int, tqdm[None]] = {}
        # no bar where nobody watches, such as in a log file
        hidden = self.quiet or sys.stderr is None or not sys.stderr.isatty()

        def progress(*state: str | int) -> None:
            label, done, total = state if len(state) == 3 else (name, *state)
            if label not in bars:
                bars[label] = tqdm(desc=str(label), total=int(total), leave=False, disable=hidden)
            bars[label].update(int(done) - bars[label].n)

        try:
            yield progress
        finally:
            for bar in bars.values():
                bar.close()
