"""Align and reconstruct a flat picture from several spoiled photos.

The ops, the networks and the pipeline are importable from here (``diar_ops/_names.py`` lists
them); they, and torch, are loaded when the first of them is asked for. What reads and
writes files is in :mod:`diar_ops.data`, :mod:`diar_ops.textures`, :mod:`diar_ops.cycles` and
:mod:`diar_ops.results`; training in :mod:`diar_ops.training`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from diar_ops._version import __version__ as __version__

if TYPE_CHECKING:
    from diar_ops._names import *  # noqa: F403


def __getattr__(name: str) -> Any:
    """Load all public names: programs set up the threads of torch before, and help needs no torch."""
    if name == "__all__" or not name.startswith("__"):
        public = import_module("diar_ops._names")
        globals().update({known: getattr(public, known) for known in ("__all__", *public.__all__)})
        if name in globals():
            return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names beside what is loaded already."""
    return sorted({*globals(), *import_module("diar_ops._names").__all__})
