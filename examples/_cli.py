"""What the scripts share: help from their docstring, and how they end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from typing import Any

from diar_ops import DiarError, OptionError

__all__ = ["WORKERS", "argument_parser", "check_minimum", "exit_code"]

#: The option ``--workers``.
WORKERS: dict[str, Any] = {
    "type": int,
    "default": 1,
    "metavar": "W",
    "help": "processes side by side, one core each (default: %(default)s)",
}


def argument_parser(
    doc: str | None, arguments: Mapping[str, Mapping[str, Any]] | None = None
) -> argparse.ArgumentParser:
    """Return a parser whose help is a script's docstring, options after its first paragraph.

    Args:
        doc: The docstring.
        arguments: Arguments by name, as ``add_argument`` takes them.
    """
    summary, _, rest = (doc or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, settings in (arguments or {}).items():
        parser.add_argument(name, **settings)
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
