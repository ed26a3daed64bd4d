"""The sub-commands; what one needs is loaded when it is called, not for the help of all."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from diar_ops._version import __version__

#: Each is the function ``command`` of ``diar_ops/cli/NAME.py``, which stands there as a Typer.
COMMANDS = {
    "batch": "Clean an archive: many sequences, on one machine or many.",
    "clean": "Turn several spoiled photos of one flat thing into one clean picture.",
    "app": "Open the page: drop photos, see verdicts, get the picture, in a browser.",
    "info": "Tell versions, devices and weights.",
}


class _LoadingGroup(TyperGroup):
    """Loads the sub-command that is called, or whose options are completed."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] in COMMANDS:
            module = import_module(f"diar_ops.cli.{args[0]}")
            self.add_command(get_command(module.command), args[0])
        return super().resolve_command(ctx, args)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"diar-ops {__version__}")
        raise typer.Exit


diar_ops = typer.Typer(
    cls=_LoadingGroup, no_args_is_help=True, rich_markup_mode="markdown", pretty_exceptions_enable=False
)


@diar_ops.callback(
    epilog="exit codes: 0 done · 1 an error, in one sentence · 2 the command line is wrong · 130 Ctrl-C. "
    "A closed pipe or a full disk behind the standard output changes nothing of them."
)
def _group(
    version: Annotated[
        bool, typer.Option("--version", metavar="", help="Tell the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Clean pictures of flat things from several spoiled photos.

    `diar-ops clean my_photos/ --out result/`, then open result/report.html.
    """


for _name, _help in COMMANDS.items():
    diar_ops.command(_name, help=_help)(lambda: None)
