"""load_pretrained: names with a download, local files, and a clear word about every failure."""

from __future__ import annotations

import functools
import hashlib
import http.server
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from diar_ops import ResNetTrunk, WeightsError, load_pretrained
from diar_ops.models.weights import load as weights
from tests.harness import Call, OpTests
from tests.models.test_resnet import randomised


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return randomised("resnet18").state_dict()


@pytest.fixture
def saved(tmp_path: Path, state: dict[str, Tensor]) -> Path:
    path = tmp_path / "trunk.pth"
    torch.save(state, path)
    return path


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files; announces more than it sends where the path says so."""

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        if "cut" not in self.path:
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"x" * 10)


@pytest.fixture
def server(tmp_path: Path, saved: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    """A server on this machine with one good file, and an empty cache; (its URL, the hash)."""
    digest = hashlib.sha256(saved.read_bytes()).hexdigest()[:8]
    folder = tmp_path / "served"
    folder.mkdir()
    saved.rename(folder / f"resnet18-{digest}.pth")
    (folder / "resnet18-00000000.pth").write_bytes(b"a login page")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}", digest
        httpd.shutdown()
        thread.join()


def leftovers(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


class TestLoadPretrained(OpTests):
    op = "load_pretrained"
    exempt = {
        "oracle": "the network that it returns has its oracle in tests/models/test_resnet.py",
        "nan": "it takes a name or a path, and no tensor that could hold a NaN",
        "gradcheck": "it takes a name or a path, and no tensor to differentiate by",
        "compile": "it reads a file once, before anything is compiled",
    }

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        pytest.skip("a call needs a file; the tests of this class bring their own")

    def test_smoke(self, saved: Path) -> None:  # type: ignore[override]
        trunk = load_pretrained(saved)
        assert isinstance(trunk, ResNetTrunk)
        assert not any(module.training for module in trunk.modules())

    def test_exception(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match=r"expected one of \['resnet18', .* 'resnet19'"):
            load_pretrained("resnet19")
        with pytest.raises(WeightsError, match="which is neither"):
            load_pretrained(tmp_path)

    @pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
    def test_cardinality_of_architectures(self, name: str, tmp_path: Path) -> None:
        """Both file types, every architecture, with and without what lies behind the trunk."""
        state = randomised(name).state_dict()
        save_file(state, tmp_path / "trunk.safetensors")
        full = {**state, "layer4.0.conv1.weight": torch.zeros(2), "fc.bias": torch.zeros(1000)}
        torch.save(full, tmp_path / "full.pth")
        for file in ("trunk.safetensors", "full.pth"):
            trunk = load_pretrained(tmp_path / file)
            assert trunk.architecture == name
            assert trunk.state_dict().keys() == state.keys()
            for key, value in trunk.state_dict().items():
                assert torch.equal(value, state[key])

    def test_property_random_numbers_stay_untouched(self, saved: Path) -> None:
        before = torch.get_rng_state()
        load_pretrained(saved)
        assert torch.equal(before, torch.get_rng_state())


def test_old_files_lack_the_batch_counter(tmp_path: Path, state: dict[str, Tensor]) -> None:
    old = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "old.pth")
    assert torch.equal(load_pretrained(tmp_path / "old.pth").conv1.weight, state["conv1.weight"])


def test_keys_that_do_not_fit_are_named(tmp_path: Path, state: dict[str, Tensor]) -> None:
    bad = dict(state)
    del bad["layer2.1.bn2.bias"]
    bad["head.weight"] = torch.zeros(3)
    bad["conv1.weight"] = torch.zeros(64, 1, 7, 7)
    torch.save(bad, tmp_path / "bad.pth")
    with pytest.raises(WeightsError) as error:
        load_pretrained(tmp_path / "bad.pth")
    for part in (
        "do not fit resnet18",
        "missing layer2.1.bn2.bias",
        "unexpected head.weight",
        "conv1.weight [64, 1, 7, 7] instead of [64, 3, 7, 7]",
    ):
        assert part in str(error.value)


def test_other_networks_are_refused(tmp_path: Path) -> None:
    torch.save({f"blocks.{i}": torch.zeros(1) for i in range(9)}, tmp_path / "vit.pth")
    with pytest.raises(WeightsError, match=r"blocks\.0, .* and 5 more"):
        load_pretrained(tmp_path / "vit.pth")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("damage", ["truncated", "text", "empty"])
def test_damaged_files(suffix: str, damage: str, tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    content = path.read_bytes()
    content = {"truncated": content[: len(content) // 2], "text": b"not weights", "empty": b""}[damage]
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"weights\.\w+ is damaged or no weights file"):
        load_pretrained(path)


class Marker:
    """Unpickling one leaves a trace."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    path, trace = tmp_path / "evil.pth", tmp_path / "trace"
    path.write_bytes(pickle.dumps({"conv1.weight": Marker(trace)}, protocol=2))
    with pytest.raises(WeightsError, match="is damaged or no weights file"):
        load_pretrained(path)
    assert not trace.exists()


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {1: torch.zeros(1)}])
def test_files_without_a_state_dict(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="must hold a state dict of tensors by name"):
        load_pretrained(tmp_path / "other.pth")


def test_names_download_once(
    server: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    state: dict[str, Tensor],
) -> None:
    url, digest = server
    monkeypatch.setitem(weights.URLS, "resnet18", f"{url}/resnet18-{digest}.pth")
    trunk = load_pretrained("resnet18")
    assert torch.equal(trunk.conv1.weight, state["conv1.weight"])
    assert f"resnet18-{digest}.pth" in capsys.readouterr().err
    assert leftovers(tmp_path / "hub") == [f"resnet18-{digest}.pth"]

    # The file is there: nothing is fetched or reported again.
    monkeypatch.setitem(weights.URLS, "resnet18", f"http://127.0.0.1:9/resnet18-{digest}.pth")
    load_pretrained("resnet18")
    assert capsys.readouterr().err == ""

    cached = tmp_path / "hub" / "checkpoints" / f"resnet18-{digest}.pth"
    cached.write_bytes(cached.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"is damaged .*; delete it to download it again"):
        load_pretrained("resnet18")


def test_progress_can_be_silenced(
    server: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url, digest = server
    monkeypatch.setitem(weights.URLS, "resnet18", f"{url}/resnet18-{digest}.pth")
    load_pretrained("resnet18", progress=False)
    captured = capsys.readouterr()
    assert captured.err == captured.out == ""


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("resnet18-00000000.pth", "is not the expected file .* instead of 00000000"),
        ("resnet18-cut11111.pth", "the connection ended after 10 of 1000 bytes"),
        ("resnet18-11111111.pth", "404"),
    ],
)
def test_failed_downloads_leave_nothing(
    file: str, message: str, server: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(weights.URLS, "resnet18", f"{server[0]}/{file}")
    with pytest.raises(WeightsError, match=message):
        load_pretrained("resnet18", progress=False)
    assert leftovers(tmp_path / "hub") == []


def test_offline_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    url = "http://127.0.0.1:9/resnet18-11111111.pth"  # nobody listens on the discard port
    monkeypatch.setitem(weights.URLS, "resnet18", url)
    with pytest.raises(WeightsError) as error:
        load_pretrained("resnet18")
    for part in (url, str(tmp_path / "hub" / "checkpoints"), "DenseSIFT"):
        assert part in str(error.value)


def test_the_table_names_torchvisions_files() -> None:
    assert set(weights.URLS) == {"resnet18", "resnet34", "resnet50"}
    for name, url in weights.URLS.items():
        file = url.rsplit("/", 1)[-1]
        assert file.startswith(f"{name}-")
        assert len(bytes.fromhex(file.removesuffix(".pth").rsplit("-", 1)[-1])) == 4


def test_real_weights(development_data: Path) -> None:
    trunk = load_pretrained(development_data / "weights" / "resnet18_imagenet_trunk.safetensors")
    assert trunk.architecture == "resnet18"
    assert torch.isfinite(trunk(torch.zeros(1, 3, 32, 32))[3]).all()
