"""The scripts of ``examples/`` as modules, called as from a shell."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def load_script(name: str) -> ModuleType:
    """Import ``examples/NAME.py``."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Run(NamedTuple):
    """What a call of a script ended with and printed."""

    code: int
    out: str
    err: str


#: Calls a script with arguments as from a shell.
Runner = Callable[..., Run]


def script_runner(program: ModuleType, capsys: pytest.CaptureFixture[str]) -> Runner:
    def run(*arguments: object) -> Run:
        code = program.main([str(argument) for argument in arguments])
        return Run(code, *capsys.readouterr())

    return run


def assert_one_error(result: Run, *words: str) -> None:
    """Check that a script failed and said why in one sentence."""
    assert result.code == 1
    assert result.out == ""
    line = result.err.splitlines()[-1]
    assert line.startswith("error: ")
    assert "Traceback" not in result.err
    for word in words:
        assert word in line
