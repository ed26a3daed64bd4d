"""What every benchmark shares: machine data, peak memory, and one ratio table per case.

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
  run: above 1 the peer is slower, below 1 it is faster. Other machines and other runs do not mix.
- Whatever stands in ``benchmark.extra_info`` becomes a column. Where methods work on different
  numbers of items, ``extra_info["ms per pair"]`` is what the ratio compares.

``--bench-out DIR`` (default ``bench_out``) receives ``benchmarks.json`` (the machine data and
every number) and ``benchmarks.md`` (the tables). ``--benchmark-json PATH`` moves the former.
"""

from __future__ import annotations

import gc
import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
import torch

PEERS = ("torch", "numpy", "kornia", "opencv-python-headless", "scipy", "diar-ops")
TABLES = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("diar_ops benchmarks")
    group.addoption("--bench-out", default="bench_out", help="folder of the JSON and the tables")
    group.addoption("--bench-device", default="cpu", help="device of the torch methods")


def pytest_configure(config: pytest.Config) -> None:
    if not config.option.benchmark_json and not config.getoption("collectonly"):
        folder = Path(config.getoption("--bench-out"))
        folder.mkdir(parents=True, exist_ok=True)
        config.option.benchmark_json = str(folder / "benchmarks.json")


def pytest_benchmark_update_machine_info(
    config: pytest.Config, machine_info: dict[str, Any]
) -> None:
    """Add what decides these timings; drop the host's name, which decides nothing."""
    machine_info.pop("node", None)
    machine_info["threads"] = torch.get_num_threads()
    machine_info["cpu_capability"] = torch.backends.cpu.get_cpu_capability()
    device = config.getoption("--bench-device")
    machine_info["device"] = (
        torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else device
    )
    machine_info["versions"] = {}
    for package in PEERS:
        try:
            machine_info["versions"][package] = version(package)
        except PackageNotFoundError:
            machine_info["versions"][package] = None


def pytest_benchmark_update_json(
    config: pytest.Config, benchmarks: list[Any], output_json: dict[str, Any]
) -> None:
    text = f"{machine_line(output_json['machine_info'])}\n\n{ratio_tables(output_json)}"
    config.stash[TABLES] = text
    folder = Path(config.getoption("--bench-out"))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "benchmarks.md").write_text(f"{text}\n", encoding="utf-8")


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    text = config.stash.get(TABLES, "")
    if text:
        terminalreporter.section("ratios")
        terminalreporter.write_line(text)


def machine_line(info: dict[str, Any]) -> str:
    """Return one line that says where the numbers were measured."""
    cpu = info.get("cpu", {}).get("brand_raw") or platform.processor() or info.get("machine", "")
    versions = ", ".join(f"{name} {found}" for name, found in info["versions"].items() if found)
    return (
        f"{cpu}, {info['threads']} threads, {info['cpu_capability']}; device {info['device']}; "
        f"Python {info['python_version']}; {versions}"
    )


def method_and_case(record: dict[str, Any]) -> tuple[str, str]:
    """Return who was measured and what, by the conventions of the module docstring."""
    params = record["params"] or {}
    tokens = (record["param"] or "").split("-") if record["param"] else []
    if "method" in params:
        method = str(params["method"])
        tokens = _without(tokens, method.split("-"))
    else:
        method = record["name"].split("[")[0].removeprefix("test_")
    group = record["group"] or record["name"].split("[")[0].removeprefix("test_")
    return method, " ".join([group, *tokens])


def _without(tokens: list[str], part: list[str]) -> list[str]:
    for i in range(len(tokens) - len(part) + 1):
        if tokens[i : i + len(part)] == part:
            return tokens[:i] + tokens[i + len(part) :]
    return tokens


def ratio_tables(output_json: dict[str, Any]) -> str:
    """Return one Markdown table per case: median, IQR, ratio to ours, extra numbers."""
    cases: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for record in output_json["benchmarks"]:
        method, case = method_and_case(record)
        cases.setdefault(case, []).append((method, record))
    return "\n\n".join(_table(case, rows) for case, rows in cases.items())


def _table(case: str, rows: list[tuple[str, dict[str, Any]]]) -> str:
    ours = next((_cost(r) for method, r in rows if method == "ours"), None)
    extra = list(dict.fromkeys(key for _, r in rows for key in r["extra_info"]))
    lines = [["method", "median ms", "IQR ms", "rounds", "x ours", *extra]]
    for method, record in sorted(rows, key=lambda row: _cost(row[1])):
        stats = record["stats"]
        lines.append(
            [
                f"**{method}**" if method == "ours" else method,
                f"{1e3 * stats['median']:.4g}",
                f"{1e3 * stats['iqr']:.2g}",
                str(stats["rounds"]),
                f"{_cost(record) / ours:.2f}" if ours else "",
                *(_cell(record["extra_info"].get(key, "")) for key in extra),
            ]
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    lines.insert(1, ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
    body = [
        "| " + " | ".join([f"{line[0]:<{widths[0]}}", *map(str.rjust, line[1:], widths[1:])]) + " |"
        for line in lines
    ]
    return "\n".join([f"### {case}", "", *body])


def _cost(record: dict[str, Any]) -> float:
    """Return the time that is compared: per pair where methods were given different numbers."""
    return float(record["extra_info"].get("ms per pair", 1e3 * record["stats"]["median"]))


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@pytest.fixture
def bench_device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.config.getoption("--bench-device"))


@pytest.fixture
def peak_memory(bench_device: torch.device) -> Callable[..., float]:
    """``peak_memory(function, *args)`` calls once and returns the growth of memory in MiB.

    On a GPU torch counts its own allocations. On Linux the kernel's high-water mark of the
    resident set is reset before the call; memory that the process already held and reuses is
    not seen, so small figures are lower bounds. Elsewhere it returns NaN.
    """

    def measure(function: Callable[..., object], *args: Any, **kwargs: Any) -> float:
        gc.collect()
        if bench_device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(bench_device)
            before = torch.cuda.memory_allocated(bench_device)
            function(*args, **kwargs)
            return (torch.cuda.max_memory_allocated(bench_device) - before) / 2**20
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            return float("nan")
        before = _status_kib("VmRSS")
        function(*args, **kwargs)
        return (_status_kib("VmHWM") - before) / 2**10

    return measure


def _status_kib(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    raise KeyError(key)
