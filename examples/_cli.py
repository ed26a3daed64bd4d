"""What the scripts share: help from their docstring, and how they end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from diar_ops import DiarError
from diar_ops.results import Listener

__all__ = ["TerminalListener", "argument_parser", "exit_code", "progress_bar"]


class TerminalListener(Listener):
    """Prints what a run tells, and shows bars of its progress."""

    def info(self, sentence: str) -> None:
        """Print a sentence."""
        print(sentence)

    def warning(self, sentence: str) -> None:
        """Print a sentence to the standard error."""
        print(sentence, file=sys.stderr)

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[..., None]]:
        """Show the progress of a step, one bar for each label that it gives to what it does."""
        bars: dict[str | int, tqdm[None]] = {}

        def progress(*state: str | int) -> None:
            label, done, total = state if len(state) == 3 else (name, *state)
            if label not in bars:
                # disable=None: no bar where nobody watches, such as in a log file
                bars[label] = tqdm(desc=str(label), total=int(total), leave=False, disable=None)
            bars[label].update(int(done) - bars[label].n)

        try:
            yield progress
        finally:
            for bar in bars.values():
                bar.close()


def argument_parser(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser whose help is a script's docstring, options after its first paragraph."""
    summary, _, rest = (doc or "").partition("\n\n")
    return argparse.ArgumentParser(
        description=summary, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )


@contextmanager
def progress_bar(words: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar that is called with (done, in all); none where nobody watches, as in a log."""
    with tqdm(desc=words, unit=unit, disable=None) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show


def exit_code(run: Callable[[], str], *, less_memory: str, stopped: str) -> int:
    """Run, print what it returns, and turn every failure into one sentence and an exit code.

    Args:
        run: The script.
        less_memory: What to do where memory is short.
        stopped: What became of the results after Ctrl-C.

    Returns:
        0 on success, 1 after an error, 130 after Ctrl-C, as shells have it.
    """
    try:
        print(run())
    except DiarError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except MemoryError:
        print(f"error: not enough memory; {less_memory}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"stopped; {stopped}", file=sys.stderr)
        return 130
    return 0
