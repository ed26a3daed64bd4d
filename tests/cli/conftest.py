"""The command as it is installed, and a folder of photos for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from diar_ops.cli.main import main
from tests import photos
from tests.conftest import ROOT
from tests.examples.full_pipeline.runs import SIZE, save
from tests.scripts import Run, Runner

#: The script that an install makes of the entry point, run on this tree.
ENTRY = [sys.executable, "-c", "import sys; from diar_ops.cli.main import main; sys.exit(main())"]


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A folder of three spoiled photos; a.png is frontal."""
    return save(tmp_path / "photos", photos.sequence(SIZE, 3)[1])


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Runner:
    """Call the command within this process."""

    def run(*arguments: object) -> Run:
        code = main([str(argument) for argument in arguments])
        return Run(code, *capsys.readouterr())

    return run


@pytest.fixture
def process() -> Callable[..., subprocess.Popen[str]]:
    """Start the command as a process of its own."""

    def start(*arguments: object, before: str = "", **options: object) -> subprocess.Popen[str]:
        entry = [*ENTRY[:2], f"{before}\n{ENTRY[2]}"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
        return subprocess.Popen([*entry, *map(str, arguments)], **{**streams, **options})

    return start
