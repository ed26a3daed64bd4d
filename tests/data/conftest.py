"""Small data sets on disk, which no test changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sequences import write_dataset


@pytest.fixture(scope="module")
def misaligned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("sets") / "misaligned")


@pytest.fixture(scope="module")
def aligned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("sets") / "aligned", kind="aligned")
