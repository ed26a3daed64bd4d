"""The whole job, from the command's start to its end: on one core and on more of them, and its memory.

``diar-ops clean`` on the bundled ten photos of 512 px, in a process of its own that may use so many
cores. A column for each step, in seconds; "start and end" is what is no step: loading torch and the
library, the comparison with the original, and leaving.

And the same job on photos of other numbers and sizes, with the peak of the process's memory in each
step; photos of 12 megapixels with ``--full`` only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from torch import Tensor

from benchmarks.memory_of_steps import can_measure

PHOTOS = Path(__file__).parents[1] / "examples" / "demo_sequence"
COMMAND = [
    sys.executable,
    "-c",
    "from diar_ops.cli.main import main; main()",
    "clean",
    str(PHOTOS),
    "--json",
    "--quiet",
]
#: Cores that this process may use, in order.
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
COUNTS = [2**k for k in range(len(CORES).bit_length())]


@pytest.mark.benchmark(group="whole job", timer=time.perf_counter, max_time=0, min_rounds=3)
@pytest.mark.parametrize("method", ["ours"] + [f"ours, {count} cores" for count in COUNTS if count != 1])
def test_whole_job(benchmark: Any, tmp_path: Path, method: str) -> None:
    if not CORES:
        pytest.skip("this system does not let a process choose its cores")
    count = 1 if method == "ours" else int(method.split()[1])
    environment = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    spent: list[dict[str, float]] = []

    def clean() -> None:
        begin = time.perf_counter()
        done = subprocess.run(
            [*COMMAND, "--out", str(tmp_path / "out"), "--overwrite"],
            env=environment,
            check=True,
            capture_output=True,
            preexec_fn=lambda: os.sched_setaffinity(0, CORES[:count]),
        )
        steps = json.loads(done.stdout)["timings"]
        spent.append({**steps, "start and end": time.perf_counter() - begin - sum(steps.values())})

    benchmark(clean)
    for step in spent[0]:
        benchmark.extra_info[f"{step} s"] = sorted(part[step] for part in spent)[len(spent) // 2]


@pytest.fixture
def photo_files(tmp_path: Path, method: str) -> list[str]:
    """Return the paths of JPEGs of a poster, of so many pixels in a row, or of 12 megapixels."""
    count, size = method.removeprefix("ours, ").split(" of ")
    paths = [tmp_path / f"{i:02}.jpg" for i in range(int(count))]
    for path, photo in zip(paths, _photos(len(paths), size), strict=True):
        Image.fromarray(photo.permute(1, 2, 0).numpy()).save(path, quality=92)
    return [str(path) for path in paths]


def _photos(count: int, size: str) -> Sequence[Tensor]:
    if size == "12 megapixels":
        from benchmarks.test_large_photos import scene

        return scene(count, 0.0)[0]
    from benchmarks.test_scaling import photos

    return photos(count, int(size.split()[0]))


SMALL = ["4 of 512 px", "16 of 512 px", "4 of 1024 px", "4 of 2048 px"]
LARGE = ["4 of 12 megapixels", "10 of 12 megapixels"]


@pytest.mark.benchmark(group="memory of the whole job")
@pytest.mark.parametrize(
    "method",
    [f"ours, {case}" for case in SMALL] + [pytest.param(f"ours, {case}", marks=pytest.mark.full) for case in LARGE],
)
def test_memory_of_steps(benchmark: Any, tmp_path: Path, photo_files: list[str], method: str) -> None:
    if not can_measure():
        pytest.skip("this system does not tell the peak of a process's memory")
    command = [sys.executable, "-m", "benchmarks.memory_of_steps", *photo_files, str(tmp_path / "out")]
    done: list[subprocess.CompletedProcess[bytes]] = []
    benchmark.pedantic(lambda: done.append(subprocess.run(command, check=True, capture_output=True)), rounds=1)
    for step, peak in json.loads(done[0].stdout).items():
        benchmark.extra_info[f"{step} MiB"] = round(peak)
