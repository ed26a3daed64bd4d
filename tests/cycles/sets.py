"""Settings of a small set, and what its folder and the fake's processes are looked at with."""

import time
from pathlib import Path

from diar_ops.cycles import RenderSettings

SETTINGS = RenderSettings(kind="misaligned", sequences=4, frames=3, size=(24, 32), seed=5)


def contents(folder):
    """All files of a set and what they hold, without the lock."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def alive(faults):
    """Which of the fake's processes still run."""

    def runs(process):
        try:
            stat = Path(f"/proc/{process}/stat").read_text()
        except OSError:
            return False
        return stat.rpartition(")")[2].split()[0] != "Z"

    numbers = [int(path.name.removeprefix("process-")) for path in faults.glob("process-*")]
    assert numbers
    return [number for number in numbers if runs(number)]


def unfinished(folder):
    """Which processes still run that write a temporary folder of :func:`atomic_folder` there."""
    numbers = [path.name.split("-")[3] for path in folder.glob(".diar-tmp-*")]
    return [number for number in numbers if Path(f"/proc/{number}").exists()]


def wait_until(condition, seconds=20):
    for _ in range(seconds * 50):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("nothing happened")
