"""Networks in folders and on the hub: a local folder, and a local server that answers for the hub."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch

from diar_ops import DIAR, DeepResidualSets, OptionError, OutputError, WeightsError, load_pretrained
from tests.models.weights.files import CONFIGS, every, header, network

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NEEDS_HUB = "huggingface_hub is the extra diar-ops[hub]"


@every
def test_folders(name: str, tmp_path: Path) -> None:
    built = network(name)
    built.save_pretrained(tmp_path / "net", metadata={"data": "sixteen scenes"})
    assert sorted(p.name for p in (tmp_path / "net").iterdir()) == ["README.md", "config.json", "model.safetensors"]
    config = json.loads((tmp_path / "net" / "config.json").read_text())
    assert config.pop("architecture") == name
    assert config.keys() == vars(CONFIGS[name]).keys()
    card = (tmp_path / "net" / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: diar_ops\n")
    assert f'{name}.from_pretrained("' in card
    assert "- `data`: sixteen scenes" in card
    for loaded in (type(built).from_pretrained(tmp_path / "net"), load_pretrained(tmp_path / "net")):
        assert type(loaded) is type(built)
        assert loaded.config == CONFIGS[name]
        assert not loaded.training
        for key, value in loaded.state_dict().items():
            assert torch.equal(value, built.state_dict()[key])
    built.save_pretrained(tmp_path / "net", dtype=torch.bfloat16)  # again: as usual in this ecosystem
    with pytest.raises(OutputError, match="already exists"):
        built.save_pretrained(tmp_path / "net", overwrite=False)


class Brighter(DIAR):
    """A subclass of somebody's, with the config of its base."""

    extra = 1


def test_subclasses_come_back_as_themselves(tmp_path: Path) -> None:
    Brighter(CONFIGS["DIAR"]).save_pretrained(tmp_path)
    assert header(tmp_path / "model.safetensors")["diar_ops.architecture"] == "DIAR"
    assert type(Brighter.from_pretrained(tmp_path)) is Brighter
    assert type(DIAR.from_pretrained(tmp_path)) is DIAR


def test_exceptions_of_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network("DIAR").save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match=r"to hold one of \['DeepResidualSets'\], got 'DIAR'"):
        DeepResidualSets.from_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert isinstance(DIAR.from_pretrained(tmp_path, sha256=digest), DIAR)
    with pytest.raises(WeightsError, match=f"has the SHA-256 {digest} instead of {'0' * 64}"):
        DIAR.from_pretrained(tmp_path, sha256="0" * 64)
    with pytest.raises(OptionError, match="a folder or a repo owner/name, got 'missing'"):
        DIAR.from_pretrained("missing")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for call in (lambda: DIAR.from_pretrained("owner/name"), lambda: network("DIAR").push_to_hub("owner/name")):
        with pytest.raises(WeightsError, match=r"needs huggingface_hub: pip install 'diar-ops\[hub\]'"):
            call()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """A server that answers what the hub is asked for one file, and the paths that it was asked for."""
    pytest.importorskip("huggingface_hub", reason=NEEDS_HUB)
    network("DIAR").save_pretrained(tmp_path / "served")
    content, asked = (tmp_path / "served" / "model.safetensors").read_bytes(), []

    class Handler(BaseHTTPRequestHandler):
        def answer(self, body: bytes) -> None:
            known = self.path == f"/owner/name/resolve/{COMMIT}/model.safetensors"
            self.send_response(200 if known else 404)
            self.send_header("Content-Length", str(len(content)) if known else "0")
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            self.wfile.write(body if known else b"")

        def do_HEAD(self) -> None:
            self.answer(b"")

        def do_GET(self) -> None:
            asked.append(self.path)
            self.answer(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_repositories_download_once(hub: tuple[str, list[str]], tmp_path: Path) -> None:
    endpoint, asked = hub
    where: dict[str, Any] = {"endpoint": endpoint, "revision": COMMIT, "cache_dir": tmp_path / "cache"}
    digest = hashlib.sha256((tmp_path / "served" / "model.safetensors").read_bytes()).hexdigest()
    for _ in range(2):
        loaded = DIAR.from_pretrained("owner/name", sha256=digest, **where)
        assert loaded.config == CONFIGS["DIAR"]
    assert asked == [f"/owner/name/resolve/{COMMIT}/model.safetensors"]
    assert isinstance(DIAR.from_pretrained("owner/name", local_files_only=True, **where), DIAR)


def test_exceptions_of_repositories(hub: tuple[str, list[str]], tmp_path: Path) -> None:
    where: dict[str, Any] = {"endpoint": hub[0], "cache_dir": tmp_path / "cache"}
    with pytest.raises(WeightsError, match=r"cannot get model\.safetensors of owner/other from the hub"):
        DIAR.from_pretrained("owner/other", **where)
    with pytest.raises(WeightsError, match=r"cannot get model\.safetensors of owner/name from the hub"):
        DIAR.from_pretrained("owner/name", local_files_only=True, **where)
    with pytest.raises(TypeError, match="revison"):
        DIAR.from_pretrained("owner/name", revison=COMMIT)


def test_pushing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub", reason=NEEDS_HUB)
    calls: list[Any] = []

    class Api:
        def __init__(self, token: str | None = None) -> None:
            calls.append(token)

        def create_repo(self, repo: str, *, private: bool | None, exist_ok: bool) -> None:
            calls.append((repo, private, exist_ok))

        def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str, revision: str) -> str:
            files = {p.name for p in Path(folder_path).iterdir()}
            calls.append((repo_id, files, commit_message, revision))
            assert isinstance(DIAR.from_pretrained(folder_path), DIAR)
            return "https://hub/commit/1"

    monkeypatch.setattr(hub, "HfApi", Api)
    address = network("DIAR").push_to_hub("owner/name", private=True, token="secret", revision="main")
    assert address == "https://hub/commit/1"
    files = {"README.md", "config.json", "model.safetensors"}
    assert calls == ["secret", ("owner/name", True, True), ("owner/name", files, "Upload network", "main")]
