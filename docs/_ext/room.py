"""The directive ``room``: the reference of a package, complete because it follows ``__all__``."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from functools import cache
from pathlib import Path
from types import ModuleType

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

import diar_ops


def public_names(module: ModuleType) -> list[str]:
    """Return the names of a module; of ``diar_ops`` itself those that no package below it has."""
    if module is diar_ops:
        rooms = [importlib.import_module(f"diar_ops.{m.name}") for m in pkgutil.iter_modules(diar_ops.__path__)]
        names = set(diar_ops.__all__).difference(*(public_names(r) for r in rooms if not is_private(r)))
    else:
        own = [n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__]
        names = set(getattr(module, "__all__", own))
    # An op and its Module side by side.
    return sorted(
        (n for n in names if not n.startswith("_")), key=lambda n: (n.replace("_", "").lower(), n[0].isupper())
    )


def is_private(module: ModuleType) -> bool:
    """Return whether a module of the package is not for its users."""
    return module.__name__.rpartition(".")[2].startswith("_")


def home(module: ModuleType, name: str) -> str:
    """Return where a name is imported from: the flat namespace where it has the name."""
    return "diar_ops" if name in diar_ops.__all__ else module.__name__


def entry(module: ModuleType, name: str) -> list[str]:
    """Return the lines that document a name."""
    value = getattr(module, name)
    lines = [f".. py:currentmodule:: {home(module, name)}", ""]
    if inspect.isclass(value):
        lines += [f".. autoclass:: {name}", "   :members:"]
    elif callable(value):
        lines += [f".. autofunction:: {name}"]
    else:  # a constant has no docstring; of a table the keys say enough
        lines += [f".. py:data:: {name}", f"   :value: {tuple(value) if isinstance(value, dict) else value!r}"]
    return [*lines, ""]


class Room(SphinxDirective):
    """``.. room:: diar_ops.matching``: everything public in it, from its docstrings."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the documentation of the room's names."""
        module = importlib.import_module(self.arguments[0])
        lines = [f".. py:module:: {module.__name__}", ""]
        lines += [line for name in public_names(module) for line in entry(module, name)]
        return self.parse_text_to_nodes("\n".join(lines))


def skip_fields(app: Sphinx, what: str, name: str, value: object, skip: bool, options: object) -> bool | None:
    """Leave out what a NamedTuple says of its fields by itself: the docstring lists them."""
    return True if str(inspect.getdoc(value)).startswith("Alias for field number") else None


def resolve_elsewhere(
    app: Sphinx, env: BuildEnvironment, node: nodes.Element, text: nodes.TextElement
) -> nodes.Node | None:
    """Find the target of a docstring's bare name in another room; what is private stays without a link."""
    if node.get("refdomain") != "py":
        return None
    node["refspecific"] = True
    owner, _, field = node["reftarget"].rpartition(".")
    python = env.get_domain("py")
    for target in (node["reftarget"], owner):  # a field of a NamedTuple is described at its class
        found = target and python.resolve_xref(
            env, node["refdoc"], app.builder, "obj" if target == owner else node["reftype"], target, node, text
        )
        if found:
            return found
    return text if field in defined_names() else None


@cache
def defined_names() -> set[str]:
    """Return what the package's files define, private names and fields included, without importing them."""
    files = Path(diar_ops.__file__).parent.rglob("*.py")
    definition = re.compile(r"^ *(?:def |class )?(\w+)(?:\(| ?[:=])", re.MULTILINE)
    return {name for file in files for name in definition.findall(file.read_text(encoding="utf-8"))}


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive and the hooks."""
    app.add_directive("room", Room)
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("missing-reference", resolve_elsewhere)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
