"""What the tests of the scripts that train share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.scripts import EXAMPLES, load_script

#: Runs a script in this process; returns its exit code, standard output and standard error.
Run = Callable[..., tuple[int, str, str]]
ROOT = EXAMPLES.parent
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": ""}


def script_runner(script: str, capsys: pytest.CaptureFixture[str], folder: Path, options: Sequence[object]) -> Run:
    """Run ``examples/SCRIPT.py`` with output and pool in ``folder``, and further arguments."""
    program = load_script(script)

    def run(*arguments: object) -> tuple[int, str, str]:
        words = (folder / "out", *options, "--pool", folder / "pool", *arguments)
        code = program.main([str(word) for word in words])
        return code, *capsys.readouterr()

    return run


def script_help(script: str) -> str:
    command = [sys.executable, str(EXAMPLES / f"{script}.py"), "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def check_one_sentence(result: tuple[int, str, str], words: str) -> None:
    """Check that a script failed, and said why in one sentence."""
    code, out, err = result
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert words in err
    assert err.count("\n") == 1


def run_with_torchrun(script: str, folder: Path, options: Sequence[object]) -> str:
    """Train in two processes; return what is printed."""
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    words = (EXAMPLES / f"{script}.py", folder / "out", *options, "--pool", folder / "pool")
    done = subprocess.run(
        [sys.executable, *launcher, *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
