"""Options that carry their own help: fields of dataclasses, from which programs make theirs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import MISSING, field, fields
from typing import Any, NamedTuple, get_args, get_type_hints


def option(default: Any, text: str, metavar: str = "N", **metadata: Any) -> Any:
    """Return a field of a dataclass that knows its help.

    Args:
        default: Default value; a tuple where the option takes several values.
        text: One line of help.
        metavar: Placeholder of the value in the help of a program.
        metadata: What else is known of it: ``choices``, the words that it may be; ``offered``, those
            to choose from where no files of the machine may be named.
    """
    return field(default=default, metadata={"help": text, "metavar": metavar, **metadata})


def flag_of(name: str) -> str:
    """Return what an option is called on a command line."""
    return f"--{name.replace('_', '-')}"


class Described(NamedTuple):
    """What a program needs to offer an option.

    Attributes:
        name: Name of the field.
        kind: ``bool``, ``int``, ``float`` or ``str``; of one of several values where ``several``.
        default: Its default.
        help: Its help, the default included where it is not told already and not nothing.
        metavar: Placeholder of the value.
        choices: The words that it may be; empty if any.
        offered: The words to choose from where no files may be named.
        several: Whether it is a tuple.
        optional: Whether it may be None.
    """

    name: str
    kind: type
    default: Any
    help: str
    metavar: str
    choices: tuple[str, ...]
    offered: tuple[str, ...]
    several: bool
    optional: bool

    @property
    def flag(self) -> str:
        """The option on a command line."""
        return flag_of(self.name)


def described_options(owner: type) -> Iterator[Described]:
    """Yield the options of a dataclass, in the order of its fields."""
    hints = get_type_hints(owner)
    for f in fields(owner):
        assert f.default is not MISSING, f"{f.name} has no default"
        hint, default = hints[f.name], f.default
        parts = {hint, *get_args(hint), *(inner for part in get_args(hint) for inner in get_args(part))}
        kind = next((kind for kind in (bool, int, float) if kind in parts), str)
        text, several = f.metadata.get("help", ""), isinstance(default, tuple)
        shown = " ".join(map(str, default)) if several else default
        known = "(default" in text or kind is bool or shown is None or shown == ""
        yield Described(
            f.name,
            kind,
            default,
            text if known else f"{text} (default: {shown})",
            f.metadata.get("metavar", "N"),
            tuple(f.metadata.get("choices", ())),
            tuple(f.metadata.get("offered", f.metadata.get("choices", ()))),
            several,
            type(None) in parts,
        )


def spell_options(sentence: str, spell: Callable[[str], str]) -> str:
    """Return a sentence of the library, its `options` in backquotes spelled as a program calls them."""
    return re.sub(r"`([a-z]+(?:_[a-z]+)*)`", lambda found: spell(found[1]), sentence)
