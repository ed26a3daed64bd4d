"""Device, dtype and data options, shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from tests.modes_table import mode_of, write_counts, write_table

# A timing is a benchmark, never a test: a busy machine must not fail a property.
settings.register_profile("default", deadline=None, max_examples=25, derandomize=True)
settings.load_profile("default")

# Most tests are many short operations: threads that wait for each other only slow them down, and
# on a busy machine by a factor of fifty.
torch.set_num_threads(1)

ROOT = Path(__file__).resolve().parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("diar_ops")
    group.addoption("--device", default="cpu", help="device to test on: cpu, cuda, ...")
    group.addoption("--dtype", default="float32", help="float32, float64, or both: 'all'")
    group.addoption("--fuzz", type=int, default=0, help="hostile examples of every op instead of a few")
    group.addoption("--modes", type=Path, help="run the tests of torch's modes alone and write their table here")
    group.addoption("--compile-backend", default="eager", help="backend of torch.compile tests")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "dtype" in metafunc.fixturenames:
        name = metafunc.config.getoption("--dtype")
        names = ["float32", "float64"] if name == "all" else [name]
        metafunc.parametrize("dtype", [getattr(torch, n) for n in names], ids=names)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if mode := mode_of(item):
            item.user_properties += [("op", item.cls.op), ("mode", mode)]
    if config.getoption("--modes"):
        items[:] = [item for item in items if mode_of(item)]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if path := config.getoption("--modes"):
        terminalreporter.write_line(write_table(path, terminalreporter.stats))
    if config.getoption("--fuzz"):
        write_counts(terminalreporter)


@pytest.fixture
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.config.getoption("--device"))


@pytest.fixture
def compile_backend(request: pytest.FixtureRequest) -> str:
    return str(request.config.getoption("--compile-backend"))


@pytest.fixture(scope="session")
def development_data() -> Path:
    """Folder of the development data (photos, weights) that no clone carries; skip without it."""
    folder = Path(os.environ.get("DIAR_OPS_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"development data not found; set DIAR_OPS_DATA (looked in {folder})")
    return folder


@pytest.fixture(scope="session")
def demo_folder() -> Path:
    """The bundled sequence: ten spoiled views, their label and exact homographies."""
    return ROOT / "examples" / "demo_sequence"
