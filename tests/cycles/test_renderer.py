"""A run survives what Blender, users and disks do; a fake Blender stands in for the real."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from diar_ops import OutputError
from diar_ops.cycles import _renderer, sequence
from tests.cycles.sets import alive, contents, unfinished, wait_until

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "render_dataset.py"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("crash", "signal 9: Segmentation fault, says the fake"),
        ("fail", "no memory"),
        ("hang", "no answer for"),
        ("babble", "this is not JSON"),
    ],
)
def test_a_fault_costs_nothing(render, tmp_path, faults, fault, words):
    render("good")
    (faults / fault).write_text("1" if fault == "hang" else "2")
    progress = []
    # Long enough for a frame of the fake on a busy machine, short enough to wait for.
    timeout = 3.0 if fault == "hang" else 60.0
    result, notes = render(timeout=timeout, progress=lambda *state: progress.append(state))
    assert (result.finished, result.failed) == ([0, 1, 2, 3], {})
    assert len(notes) in (1, 2)  # equal sentences are said once
    assert "tried again" in notes[0]
    assert words in notes[0]
    assert progress[-1] == (12, 12)
    assert contents(tmp_path / "good") == contents(tmp_path / "out")
    assert alive(faults) == []


def test_a_sequence_that_always_fails_is_named_and_tried_next_time(render, tmp_path, faults):
    render("good")
    (faults / "crash").write_text("3")
    result, _ = render(retries=2)
    assert result.finished == [1, 2, 3]
    assert list(result.failed) == [0]
    assert "Segmentation fault" in result.failed[0]
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {".lock", "dataset.json", "000001", "000002", "000003"}
    result, _ = render()
    assert (result.finished, result.already) == ([0], 3)
    assert contents(tmp_path / "good") == contents(tmp_path / "out")


def test_processes_are_replaced_before_they_grow(render, faults, monkeypatch):
    monkeypatch.setattr(_renderer, "SEQUENCES_PER_PROCESS", 2)
    render()
    assert len(list(faults.glob("process-*"))) == 1 + 2  # one tells the version
    assert alive(faults) == []


def start(pictures, out, fake, *more):
    options = ["--sequences", "4", "--frames", "3", "--size", "24", "32", "--seed", "5", "--blender"]
    command = [sys.executable, str(EXAMPLE), str(pictures), str(out), *options, str(fake)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(EXAMPLE.parents[1])}
    return subprocess.Popen(
        [*command, *more],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers end a frame later")
def test_kill_and_resume(render, pictures, fake, tmp_path, faults):
    render("good")
    (faults / "slow").write_text("0.3")
    out = tmp_path / "out"
    process = start(pictures, out, fake, "--workers", "2")
    wait_until(lambda: (out / "000001").exists() or (out / "000000").exists(), seconds=60)
    wait_until(lambda: list(out.glob(".diar-tmp-*/0*.png")))
    process.kill()
    process.communicate()
    wait_until(lambda: not alive(faults) and not unfinished(out))
    assert list(out.glob(".diar-tmp-*"))
    (faults / "slow").unlink()
    result, _ = render()
    assert 1 <= result.already <= 3
    assert contents(tmp_path / "good") == contents(out)


@pytest.mark.skipif(os.name == "nt", reason="there, Ctrl-C cannot be sent to one process")
def test_ctrl_c_leaves_nothing_behind(pictures, fake, tmp_path, faults):
    (faults / "slow").write_text("0.3")
    out = tmp_path / "out"
    process = start(pictures, out, fake)
    wait_until(lambda: list(out.glob(".diar-tmp-*/0*.png")))
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert errors.strip() == "stopped; finished sequences stay, the same command goes on"
    assert output == ""
    assert alive(faults) == []
    assert not list(out.glob(".diar-tmp-*"))


def test_full_disk_where_we_write(render, tmp_path, faults, monkeypatch):
    write = sequence.write_mask

    def full(path, mask):
        if "02_" in path.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, mask)

    monkeypatch.setattr(sequence, "write_mask", full)
    with pytest.raises(OutputError, match=r"the disk is full; .*the same command goes on"):
        render()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {".lock", "dataset.json"}
    assert alive(faults) == []


@pytest.mark.parametrize("fault", ["fail", "cut"])
def test_full_disk_where_blender_writes(render, faults, monkeypatch, fault):
    (faults / fault).write_text("1")
    usage = _renderer.shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(_renderer.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OutputError, match="the disk is full; "):
        render()
