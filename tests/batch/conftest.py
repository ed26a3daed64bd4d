"""An archive that is cleaned once, in this process."""

from pathlib import Path

import pytest

from diar_ops.batch import BatchOptions
from diar_ops.engines import LocalEngine
from tests.batch.archives import run, write_photos


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in this process: no other one has to load torch."""
    monkeypatch.setattr(BatchOptions, "select_engine", lambda self: LocalEngine(0))


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sequences, one of them with a file that is no photo, and a photo alone."""
    root = tmp_path_factory.mktemp("batch") / "archive"
    write_photos(root / "a", 1)
    write_photos(root / "b" / "ü & <c>", 2)
    (root / "b" / "ü & <c>" / "broken.jpg").write_bytes(b"\xff\xd8 no photo")
    write_photos(root / "b", 3, count=1)
    (root / "a" / "notes.txt").write_text("no photo, and not meant to be one")
    return root


@pytest.fixture(scope="session")
def cleaned(archive: Path) -> Path:
    """Its results; to be copied, not changed."""
    out = archive.parent / "cleaned"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BatchOptions, "select_engine", lambda self: LocalEngine(0))
        run(archive, out)
    return out
