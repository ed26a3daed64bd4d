"""Options of dataclasses as parameters of a Typer command."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal

import typer

from diar_ops._options import Described, described_options


def takes_options(owner: type, panel: str = "Options") -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator: a function's ``**options`` become the options of a dataclass.

    Args:
        owner: Dataclass whose fields :func:`option` made.
        panel: Heading of them in the help.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True).parameters.values()
        plain = [parameter for parameter in own if parameter.kind is not parameter.VAR_KEYWORD]
        added = [_parameter(known, panel) for known in described_options(owner)]
        command.__signature__ = inspect.Signature([*plain, *added])  # type: ignore[attr-defined]
        return command

    return decorate


def _parameter(known: Described, panel: str) -> inspect.Parameter:
    kind: Any = Literal[known.choices] if known.choices else known.kind
    kind = tuple[kind, ...] if known.several else kind | None if known.optional else kind
    declared = typer.Option(
        known.flag,
        metavar="" if known.kind is bool else "|".join(known.choices) or known.metavar,
        help=known.help,
        show_default=False,  # the help has it
        rich_help_panel=panel,
    )
    return inspect.Parameter(
        known.name, inspect.Parameter.KEYWORD_ONLY, default=known.default, annotation=Annotated[kind, declared]
    )
