"""``evaluate.py`` called as from a shell, a small set and small weights to give it."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
import torch

from benchmarks.quality import figures
from diar_ops import DeepResidualSets, DeepResidualSetsConfig, save_pretrained
from tests.scripts import Runner, load_script, script_runner
from tests.sequences import write_dataset


@pytest.fixture(scope="module")
def program() -> ModuleType:
    return load_script("evaluate")


@pytest.fixture
def run(program: ModuleType, capsys: pytest.CaptureFixture[str]) -> Runner:
    """Call the program of the test module, ``evaluate.py`` if it names no other."""
    return script_runner(program, capsys)


@pytest.fixture
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files without a drawing, which takes most of the time."""

    def save(figure: object, path: Path) -> None:
        for ending in (".png", ".svg"):
            path.with_name(path.name + ending).write_text("<svg/>", encoding="utf-8")

    monkeypatch.setattr(figures, "save_figure", save)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("sets") / "small", kind="aligned")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "sets.safetensors"
    config = DeepResidualSetsConfig(channels=(4, 8), blocks=(1, 1), decoder_blocks=(0, 1))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_pretrained(DeepResidualSets(config), path)
    return path
