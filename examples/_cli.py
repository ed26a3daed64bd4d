"""What the scripts share: help from their docstring, and how they end."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from tqdm import tqdm

from diar_ops import DiarError, OptionError
from diar_ops.results import Listener


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


class Argument(NamedTuple):
    """An argument of a script, as ``add_argument`` takes it; a flag without ``metavar``."""

    name: str
    metavar: str | tuple[str, ...] | None
    help: str
    type: Callable[[str], Any] | None = None
    nargs: str | int | None = None
    default: Any = None
    choices: Sequence[str] | None = None
    required: bool = False


OUT = Argument("--out", "DIR", "output folder; what is there is continued", required=True)
WORKERS = Argument(
    "--workers", "W", "processes side by side, one core each (default: %(default)s)", type=int, default=1
)


class _Parser(argparse.ArgumentParser):
    """Reads the words of an option file as a shell does, # begins a comment."""

    def convert_arg_line_to_args(self, arg_line: str) -> list[str]:
        return shlex.split(arg_line, comments=True)


def argument_parser(doc: str | None, *arguments: Argument, option_files: bool = False) -> argparse.ArgumentParser:
    """Return a parser whose help is a script's docstring, options after its first paragraph.

    With ``option_files`` the word @FILE stands for the options in that file.
    """
    summary, _, rest = (doc or "").partition("\n\n")
    parser = _Parser(
        description=summary,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        fromfile_prefix_chars="@" if option_files else None,
    )
    for name, metavar, words, *values in arguments:
        if metavar is None:
            parser.add_argument(name, help=words, action="store_true")
            continue
        settings = dict(zip(Argument._fields[3:], values, strict=True))
        given = {k: v for k, v in settings.items() if v is not None and v is not False}
        parser.add_argument(name, metavar=metavar, help=words, **given)
    return parser


def check_minimum(options: argparse.Namespace, **least: int) -> None:
    """Raise :class:`OptionError` unless each named option is as large as it must be."""
    for name, bound in least.items():
        value = getattr(options, name)
        if value < bound:
            raise OptionError(f"--{name} must be {bound} or more, got {value}")


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
