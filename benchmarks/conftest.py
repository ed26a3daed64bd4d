"""What every benchmark shares: machine data, peak memory, and the tables of a run.

A benchmark file needs nothing from here but three conventions::

    @pytest.mark.benchmark(group="matching")
    @pytest.mark.parametrize("size", [1024, 4096], ids=["1k", "4k"])
    @pytest.mark.parametrize("method", ["ours", "kornia", "opencv"])
    def test_matching(benchmark, peak_memory, method, size):
        function = FUNCTIONS[method]
        benchmark.extra_info["error px"] = accuracy(function(...))
        benchmark.extra_info["peak MiB"] = peak_memory(function, ...)
        benchmark(function, ...)

- The parameter called ``method`` says who is measured (strings); a test without it is named
  after its method: ``test_ours``, ``test_kornia``.
- The group and the ids of all other parameters say what is measured: one table each.
- ``ours`` is the base of the ratios. ``x ours`` is the peer's median time over ours of the same
  run: above 1 the peer is slower, below 1, in bold, it is faster. Other machines and other runs do
  not mix. A part or a variant of ours has a name that begins with "ours", what no method can do
  without one that begins with "bare": they never lose.
- Whatever stands in ``benchmark.extra_info`` becomes a column. Where methods work on different
  numbers of items, ``extra_info["ms per pair"]`` is what the ratio compares.
- A measurement whose ``extra_info`` holds a ``growth`` is one point of a table of growth instead,
  see ``scaling.py``.

- What takes minutes alone is marked ``full``, and measured with ``--full`` only.

``--bench-out DIR`` (default ``bench_out``) receives ``benchmarks.json`` (the machine data, every
number and, as ``scaling``, the growth), ``benchmarks.png`` and ``.svg`` (one page of plots) and
``benchmarks.md`` (the tables, to be pasted at the end of ``docs/performance.md``), which begins
with every ratio beside that of the last release, see ``last_release.py``. ``--benchmark-json PATH``
moves the first.
"""

from __future__ import annotations

import os

# As our programs have it, and before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import ctypes
import gc
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.last_release import change_table, changes, read_release, verdict
from benchmarks.page import draw_page
from benchmarks.scaling import growth_rows, growth_tables
from benchmarks.tables import machine_line, ratio_tables

PEERS = ("torch", "numpy", "kornia", "opencv-python-headless", "scipy", "diar-ops")
TABLES = pytest.StashKey[str]()
VERDICT = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("diar_ops benchmarks")
    group.addoption("--bench-out", default="bench_out", help="folder of the JSON and the tables")
    group.addoption("--bench-device", default="cpu", help="device of the torch methods")
    group.addoption("--full", action="store_true", help="measure what takes minutes alone, too: large photos")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "full: takes minutes; measured with --full only")
    if not config.option.benchmark_json and not config.getoption("collectonly"):
        folder = Path(config.getoption("--bench-out"))
        folder.mkdir(parents=True, exist_ok=True)
        config.option.benchmark_json = str(folder / "benchmarks.json")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--full"):
        for item in items:
            if item.get_closest_marker("full"):
                item.add_marker(pytest.mark.skip(reason="takes minutes: measured with --full only"))


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Add what decides these timings; drop the host's name, which decides nothing."""
    machine_info.pop("node", None)
    machine_info["threads"] = torch.get_num_threads()
    machine_info["cpu_capability"] = torch.backends.cpu.get_cpu_capability()
    device = config.getoption("--bench-device")
    machine_info["device"] = torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else device
    machine_info["versions"] = {}
    for package in PEERS:
        try:
            machine_info["versions"][package] = version(package)
        except PackageNotFoundError:
            machine_info["versions"][package] = None


def pytest_benchmark_update_json(config: pytest.Config, benchmarks: list[Any], output_json: dict[str, Any]) -> None:
    timers = sorted({record["options"]["timer"] for record in output_json["benchmarks"]})
    output_json["machine_info"]["timer"] = ", ".join(timers)
    for record in output_json["benchmarks"]:  # the rest is most of the file, and nothing reads it
        record.pop("options")
        record["stats"] = {key: record["stats"][key] for key in ("min", "median", "iqr", "rounds")}
    output_json["scaling"] = growth_rows(output_json["benchmarks"])
    compared = changes(output_json, read_release(), torch.device(config.getoption("--bench-device")).type)
    machine = machine_line(output_json["machine_info"])
    parts = [machine, change_table(compared), growth_tables(output_json["scaling"]), ratio_tables(output_json)]
    text = "\n\n".join(filter(None, parts))
    config.stash[TABLES] = text
    config.stash[VERDICT] = verdict(compared)
    folder = Path(config.getoption("--bench-out"))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "benchmarks.md").write_text(f"{text}\n", encoding="utf-8")
    if compared or output_json["scaling"]:
        draw_page(folder / "benchmarks", compared, output_json["scaling"], machine)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    text = config.stash.get(TABLES, "")
    if text:
        terminalreporter.section("tables")
        terminalreporter.write_line(text)
        terminalreporter.section("against the last release")
        terminalreporter.write_line(config.stash[VERDICT])


@pytest.fixture
def bench_device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.config.getoption("--bench-device"))


@pytest.fixture
def peak_memory(bench_device: torch.device) -> Callable[..., float]:
    """``peak_memory(function, *args)`` calls once and returns the growth of memory in MiB.

    On a GPU torch counts its own allocations. On Linux the kernel's high-water mark of the
    resident set is reset before the call. With glibc, what the process has freed goes back to the
    kernel first: the figure is then exact to some KiB, but for what libraries keep from earlier
    calls. Without, memory that the process reuses is not seen. Elsewhere it returns NaN.
    """

    def measure(function: Callable[..., object], *args: Any, **kwargs: Any) -> float:
        gc.collect()
        if bench_device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(bench_device)
            before = torch.cuda.memory_allocated(bench_device)
            function(*args, **kwargs)
            return (torch.cuda.max_memory_allocated(bench_device) - before) / 2**20
        _give_back()
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            return float("nan")
        before = _status_kib("VmRSS")
        function(*args, **kwargs)
        return (_status_kib("VmHWM") - before) / 2**10

    return measure


def _give_back() -> None:
    """Return freed memory to the kernel, where the C library knows how."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


def _status_kib(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    raise KeyError(key)
