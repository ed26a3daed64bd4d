"""All test classes of ops, by the name of the op."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.harness import OpTests

TESTS = Path(__file__).parent


def _subclasses(cls: type[OpTests]) -> Iterator[type[OpTests]]:
    for sub in cls.__subclasses__():
        yield sub
        yield from _subclasses(sub)


@cache
def classes_by_op() -> dict[str, type[OpTests]]:
    """Import the tests of all ops and return their classes."""
    for path in sorted(TESTS.rglob("test_*.py")):
        if '    op = "' in path.read_text(encoding="utf-8"):
            importlib.import_module(".".join(path.relative_to(TESTS.parent).with_suffix("").parts))
    return {sub.op: sub for sub in _subclasses(OpTests) if hasattr(sub, "op")}
