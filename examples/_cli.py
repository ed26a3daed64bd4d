"""What the scripts share: help from their docstring and from options, and how they end."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from diar_ops._errors import OptionError
from diar_ops._options import Described
from diar_ops.cli.ending import exit_code as exit_code
from diar_ops.cli.ending import set_up_process
from diar_ops.engines import ENGINES, Engine, select_engine

set_up_process()  # scripts import this before anything that brings torch


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
ENGINE = (
    Argument(
        "--workers", "W", "tasks side by side, one core each (default: 1; ray: all cores of the cluster)", type=int
    ),
    Argument(
        "--engine",
        "ENGINE",
        f"where to work: {' or '.join(ENGINES)}, a cluster (default: %(default)s)",
        default=ENGINES[0],
        choices=ENGINES,
    ),
    Argument("--ray-address", "ADDRESS", "of the cluster (default: RAY_ADDRESS, or one of this machine alone)"),
)


def engine_of(options: argparse.Namespace) -> Engine:
    """Return what the options :data:`ENGINE` ask for."""
    check_minimum(options, workers=1)
    workers = options.workers or (1 if options.engine == "local" else None)
    return select_engine(options.engine, workers=workers, address=options.ray_address)


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


def add_option(parser: argparse.ArgumentParser, known: Described, *, nargs: str | int = "+") -> None:
    """Add an option that a dataclass describes; one of several values takes ``nargs`` of them."""
    text = known.help.replace("%", "%%")
    if known.kind is bool:
        parser.add_argument(known.flag, help=text, action="store_true")
        return
    several: dict[str, Any] = {"nargs": nargs} if known.several else {}
    parser.add_argument(
        known.flag,
        default=known.default,
        type=known.kind,
        help=text,
        metavar=None if known.choices else known.metavar,
        choices=known.choices or None,
        **several,
    )


def check_minimum(options: argparse.Namespace, **least: int) -> None:
    """Raise :class:`OptionError` unless each named option is as large as it must be."""
    for name, bound in least.items():
        value = getattr(options, name)
        if value is not None and value < bound:
            raise OptionError(f"--{name} must be {bound} or more, got {value}")
