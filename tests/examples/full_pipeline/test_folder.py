"""The output folder: nothing is lost, nothing is left half-written, whatever happens."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from diar_ops.data import read_image
from diar_ops.results import clean as clean_module
from diar_ops.results import files as files_module
from tests.examples.full_pipeline.runs import contents, refuse_to_align
from tests.scripts import Run, Runner, assert_one_error

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "examples" / "full_pipeline.py"
#: Where files go does not hang on who computes them: the network takes twice as long.
QUICK = ("--aggregator", "mean")


def test_earlier_results_are_kept(run: Runner, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    assert run(good, "--out", out, *QUICK).code == 0
    before = contents(out)
    with monkeypatch.context() as patch:
        patch.setattr(clean_module, "align_sequence", refuse_to_align)
        assert_one_error(run(good, "--out", out), "already holds results", "(--overwrite)")
    assert contents(out) == before
    (good / "c.png").unlink()
    assert run(good, "--out", out, "--overwrite", *QUICK).code == 0
    assert set(before) - set(contents(out)) == {"aligned/c.png", "weights/c.png"}


@pytest.mark.usefixtures("no_long_work")
def test_a_folder_that_cannot_be(run: Runner, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    assert_one_error(run(good, "--out", file), "it is a file, not a folder")
    assert_one_error(run(good, "--out", file / "out"), "a part of the path is a file")

    def deny(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "touch", deny)
        result = run(good, "--out", tmp_path / "out")
    assert_one_error(result, "permission denied")
    assert file.read_text() == "mine"


def test_a_disk_that_fills_up(run: Runner, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe and the clean picture still fit; then the disk is full."""
    out = tmp_path / "out"
    assert run(good, "--out", out, *QUICK).code == 0
    before = contents(out)
    replace, written = os.replace, []

    def fill_up(source: Path, target: Path) -> None:
        if Path(target).parent.name == "aligned":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(Path(target).name)
        replace(source, target)

    monkeypatch.setattr(os, "replace", fill_up)
    result = run(good, "--out", out, "--overwrite", "--aggregator", "median")
    assert_one_error(result, "the disk is full", "clean.png, aligned", "with --overwrite completes")
    assert "clean.png" in written
    after = contents(out)
    assert set(after) == set(before), "nothing lost, nothing half-written left behind"
    assert {name for name in after if after[name] != before[name]} == {"clean.png"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 96 KiB; skip where mounting is not permitted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small file system is not permitted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True, capture_output=True)


def test_a_disk_that_is_really_full(run: Runner, good: Path, small_disk: Path) -> None:
    result = run(good, "--out", small_disk / "out")
    assert_one_error(result, "the disk is full")
    assert not [name for name in contents(small_disk) if Path(name).name.startswith(".")]
    for path in (small_disk / "out").rglob("*.png"):
        read_image(path)  # what is there is whole


INTERRUPTED = """
import importlib.util, sys
from diar_ops.results import clean
spec = importlib.util.spec_from_file_location("full_pipeline", sys.argv[1])
program = importlib.util.module_from_spec(spec)
spec.loader.exec_module(program)
align = clean.align_sequence

def announced(*args, progress, **kwargs):
    def say(*state):
        print("ALIGNING", flush=True)
        progress(*state)
    return align(*args, progress=say, **kwargs)

clean.align_sequence = announced
sys.exit(program.main(sys.argv[2:]))
"""


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_ctrl_c_in_the_middle(run: Runner, good: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(good, "--out", out, *QUICK).code == 0
    before = contents(out)
    paths = f"{ROOT}{os.pathsep}{SCRIPT.parent}"
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, SCRIPT, good, "--out", out, "--overwrite"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths},
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ALIGNING\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err == "stopped; files that were written are complete\n"
    assert contents(out) == before


def test_ctrl_c_while_writing(run: Runner, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, write = tmp_path / "out", files_module.write_image

    def interrupted(path: Path, *args: object, **options: Any) -> None:
        if path.parent.name == "weights":
            raise KeyboardInterrupt
        write(path, *args, **options)

    monkeypatch.setattr(files_module, "write_image", interrupted)
    result = run(good, "--out", out, *QUICK)
    assert result == Run(130, "", "stopped; files that were written are complete\n")
    assert set(contents(out)) == {"clean.png", "aligned/a.png"}
    for path in out.rglob("*.png"):
        read_image(path)


def test_no_memory(run: Runner, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(clean_module, "align_sequence", exhausted)
    assert_one_error(run(good, "--out", tmp_path / "out"), "not enough memory", "--max-size")


def test_results_never_go_where_the_photos_are(run: Runner, good: Path) -> None:
    """Not even when the photos are named one by one: they could be overwritten."""
    before = {path: path.read_bytes() for path in sorted(good.iterdir()) if path.is_file()}
    for arguments, out in (((good,), good), (tuple(before)[:3], good)):
        result = run(*arguments, "--out", out, "--overwrite")
        assert_one_error(result, "where the photos are", "another folder")
    assert {path: path.read_bytes() for path in before} == before


def test_a_seed_beyond_64_bits_is_refused(run: Runner, good: Path, tmp_path: Path) -> None:
    assert_one_error(run(good, "--out", tmp_path / "out", "--seed", 10**25), "--seed", "64 bits")
