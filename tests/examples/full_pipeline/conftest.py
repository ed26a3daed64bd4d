"""The script as a module, called as from a shell, and a folder of photos."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from diar_ops.results import clean as clean_module
from tests import photos
from tests.examples.full_pipeline.runs import SIZE, refuse_to_align, save
from tests.scripts import load_script


@pytest.fixture(scope="module")
def program() -> ModuleType:
    return load_script("full_pipeline")


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A folder of three spoiled photos; a.png is frontal."""
    return save(tmp_path / "photos", photos.sequence(SIZE, 3)[1])


@pytest.fixture
def no_long_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where the photos are aligned: what is refused is refused before."""
    monkeypatch.setattr(clean_module, "align_sequence", refuse_to_align)
