"""What the scripts share: help from their docstring, and how they end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from diar_ops import DiarError

__all__ = ["argument_parser", "exit_code", "progress_bar"]


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
