"""Clean photos, and print as JSON the peak of memory in each step of it, in MiB.

``python -m benchmarks.memory_of_steps PHOTO... FOLDER``. The peak is that of the whole process's resident set
during the step, what earlier steps left in it included: what a machine must have. It is read from Linux's
high-water mark, which is reset before each step.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from diar_ops.results import CleanOptions, Listener, clean_photos

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def can_measure() -> bool:
    """Return whether this system tells the peak of a step."""
    return RESET.exists()


class StepMeter(Listener):
    """Notes the peak in MiB of each step."""

    def __init__(self) -> None:
        self.steps: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[..., None]]:
        RESET.write_text("5")
        yield lambda *_: None
        peak = next(line.split()[1] for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        self.steps[name] = int(peak) / 2**10


if __name__ == "__main__":
    *photos, folder = sys.argv[1:]
    meter = StepMeter()
    clean_photos(photos, folder, CleanOptions(overwrite=True), listener=meter)
    print(json.dumps(meter.steps))
