"""Folders appear whole or not at all, and what killed processes leave is cleared away."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from diar_ops import OutputError
from diar_ops._folders import atomic_folder, remove_stale_folders
from tests.conftest import ROOT


def fill(folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "a.txt").write_text("a")
    (folder / "deep" / "b.txt").write_text("b")


def test_the_folder_appears_complete(tmp_path: Path) -> None:
    path = tmp_path / "new" / "000001"
    with atomic_folder(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.name.startswith(".")
        assert list(temporary.iterdir()) == []
        fill(temporary)
        assert not path.exists()
    assert (path / "deep" / "b.txt").read_text() == "b"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("failure", [RuntimeError("halfway"), KeyboardInterrupt(), SystemExit(1)])
def test_a_failure_leaves_nothing(tmp_path: Path, failure: BaseException) -> None:
    def fail() -> None:
        with atomic_folder(tmp_path / "a") as temporary:
            fill(temporary)
            raise failure

    with pytest.raises(type(failure)):
        fail()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("make", ["folder", "file", "dangling link"])
def test_nothing_that_exists_is_touched(tmp_path: Path, make: str) -> None:
    path = tmp_path / "a"
    {"folder": path.mkdir, "file": path.touch, "dangling link": lambda: path.symlink_to("missing")}[make]()
    before = path.lstat()

    def write() -> None:
        with atomic_folder(path):
            pytest.fail("the block must not run")

    with pytest.raises(OutputError, match="already exists"):
        write()
    assert path.lstat() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a"

    def write_slowly() -> None:
        with atomic_folder(path) as temporary:
            fill(temporary)
            path.mkdir()  # empty: the system itself would replace it without a word

    with pytest.raises(OutputError, match="already exists"):
        write_slowly()
    assert list(path.iterdir()) == []
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("code", "words"), [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "the disk is read-only")]
)
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_the_system_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str, step: str) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, step, refuse)

    def write() -> None:
        with atomic_folder(tmp_path / "a") as temporary:
            fill(temporary)

    with pytest.raises(OutputError) as caught:
        write()
    assert str(caught.value) == f"cannot write {tmp_path / 'a'}: {words}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_inside_the_block(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_folder(tmp_path / "a") as temporary, Path("/dev/full").open("w") as full:
            fill(temporary)
            full.write("x")

    with pytest.raises(OutputError, match="the disk is full"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    def write() -> None:
        with atomic_folder(tmp_path / "file" / "a"):
            pass

    with pytest.raises(OutputError, match="a part of the path is a file"):
        write()


KILLED = """
import os, signal, sys
from diar_ops._folders import atomic_folder
with atomic_folder(sys.argv[1]) as temporary:
    (temporary / "half.txt").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    assert remove_stale_folders(tmp_path / "missing") == 0
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "a")], cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    # The same name, but of another machine, whose processes cannot be seen from here.
    parts = left.name.split("-")
    parts[2] = f"{int(parts[2], 16) ^ 1:08x}"
    elsewhere = tmp_path / "-".join(parts)
    elsewhere.mkdir()
    (tmp_path / ".diar-tmp-mine").mkdir()
    with atomic_folder(tmp_path / "b") as temporary:
        fill(temporary)
        assert remove_stale_folders(tmp_path) == 1
        assert not left.exists()
    expected = [".diar-tmp-mine", elsewhere.name, "b"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(expected)
    assert (tmp_path / "b" / "a.txt").exists()
