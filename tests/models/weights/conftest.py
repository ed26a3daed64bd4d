"""A file of weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from diar_ops import save_pretrained
from tests.models.weights.files import network


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_pretrained(network("DIAR"), tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"
