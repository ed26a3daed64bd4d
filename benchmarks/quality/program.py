"""The main programs of the comparisons: help from their docstring, errors as one sentence."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from diar_ops._errors import DiarError
from diar_ops.engines import one_thread


def program_parser(name: str, doc: str | None) -> argparse.ArgumentParser:
    """Return a parser for the program of a package of this folder, whose help is its docstring."""
    return argparse.ArgumentParser(
        prog=f"python -m benchmarks.quality.{name}",
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def run_program(
    run: Callable[[argparse.Namespace], int | None], parser: argparse.ArgumentParser, argv: Sequence[str] | None
) -> int:
    """Run a program with the options of a command line and return its exit code, 1 after an error.

    With one thread: sums then have one order, and runs repeat bit for bit.
    """
    options = parser.parse_args(argv)
    try:
        with one_thread():
            return run(options) or 0
    except DiarError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
