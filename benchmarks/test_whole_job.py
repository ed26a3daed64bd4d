"""The whole job, from the command's start to its end, on one core and on more of them.

``diar-ops clean`` on the bundled ten photos of 512 px, in a process of its own that may use so many
cores. A column for each step, in seconds; "start and end" is what is no step: loading torch and the
library, the comparison with the original, and leaving.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

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
