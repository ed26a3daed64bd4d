"""save_pretrained and back: bit for bit, half precision, shipped names, every bad file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

import diar_ops
from diar_ops import (
    DIAR,
    DeepResidualSets,
    OptionError,
    OutputError,
    WeightsError,
    load_descriptor,
    load_pretrained,
    save_pretrained,
)
from diar_ops.models.weights import load as weights
from diar_ops.models.weights.registry import NETWORKS
from tests.harness import Call, OpTests, generator
from tests.models.weights.files import CONFIGS, apply_network, every, header, network


class TestSavePretrained(OpTests):
    op = "save_pretrained"
    exempt = {
        "oracle": "what it writes is read back by safetensors' own reader and compared bit by bit",
        "nan": "weights that are no numbers are an error, which test_exception asks for",
        "gradcheck": "it writes a file and returns nothing to differentiate",
        "compile": "it writes a file once, when everything is computed",
    }

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        pytest.skip("a call needs a folder; the tests of this class bring their own")

    @every
    def test_smoke(self, name: str, tmp_path: Path, device: torch.device) -> None:  # type: ignore[override]
        path = tmp_path / "new" / "net.safetensors"
        built = network(name).to(device)
        save_pretrained(built, path, metadata={"data": "sixteen scenes"})
        loaded = load_pretrained(path)
        assert type(loaded) is type(built)
        assert loaded.config == CONFIGS[name]
        assert not any(module.training for module in loaded.modules())
        assert loaded.state_dict().keys() == built.state_dict().keys()
        for key, value in loaded.state_dict().items():
            assert value.device.type == "cpu"
            assert torch.equal(value, built.state_dict()[key].cpu()), key
        frames = torch.rand(1, 3, 3, 5, 6, generator=generator("frames of a round trip"))
        with torch.no_grad():
            assert torch.equal(apply_network(loaded, frames), apply_network(built.cpu().eval(), frames))
        assert [p.name for p in path.parent.iterdir()] == [path.name]

    def test_exception(self, tmp_path: Path, saved: Path) -> None:
        built = network("DeepResidualSets")
        path = tmp_path / "other.safetensors"
        with pytest.raises(OptionError, match=r"a network among \['DeepRes.*, got 'Linear'"):
            save_pretrained(nn.Linear(1, 1), path)

        with pytest.raises(OptionError, match=r"a path that ends in \.safetensors, got 'a\.pth'"):
            save_pretrained(built, tmp_path / "a.pth")
        with pytest.raises(OptionError, match="metadata of words by name"):
            save_pretrained(built, path, metadata={"steps": 3})  # type: ignore[dict-item]
        with pytest.raises(OptionError, match=r"do not start with diar_ops\."):
            save_pretrained(built, path, metadata={"diar_ops.config": "{}"})
        with pytest.raises(OptionError, match="a dtype among"):
            save_pretrained(built, path, dtype=torch.int8)
        with pytest.raises(OutputError, match="already exists"):
            save_pretrained(built, saved)
        with pytest.raises(OutputError, match="is a file, not a folder"):
            save_pretrained(built, saved / "net.safetensors")
        with torch.no_grad():
            built.get_parameter("encoder.stem.weight")[0, 0, 0, 0] = 1e5
        with pytest.raises(WeightsError, match=r"torch\.float16 can hold, .* encoder\.stem\.wei"):
            save_pretrained(built, path, dtype=torch.float16)
        save_pretrained(built, path, dtype=torch.bfloat16)
        with torch.no_grad():
            built.get_parameter("decoder.head.bias")[1] = float("nan")
        with pytest.raises(WeightsError, match=r"expected finite weights .* decoder\.head\.bias"):
            save_pretrained(built, path, overwrite=True)
        assert load_pretrained(path).encoder.stem.weight.isfinite().all()

    @every
    def test_cardinality_of_configs(self, name: str, tmp_path: Path) -> None:
        """The smallest network, without blocks where that can be, and the default one."""
        smallest: Any = NETWORKS[name].config
        if name == "FaithfulDIAR":
            smallest = smallest(1, 1, 1, 1, 2, 1, 1, (1, 1, 1))
        elif name == "DualDescriptor":
            smallest = smallest((1, 1, 1, 1), (0, 0, 0), 1, 1, 1)
        else:
            smallest = smallest(channels=(4,), blocks=(0,), decoder_blocks=(0,))
        for number, chosen in enumerate((smallest, NETWORKS[name].config())):
            path = tmp_path / f"{number}.safetensors"
            save_pretrained(NETWORKS[name].network(chosen), path)
            assert load_pretrained(path).config == chosen

    def test_property_any_metadata_comes_back(self, tmp_path: Path) -> None:
        built, path = network("DeepResidualSets"), tmp_path / "net.safetensors"
        words = st.text(max_size=20).filter(lambda word: not word.startswith("diar_ops."))

        @given(st.dictionaries(words, st.text(max_size=50)))
        def check(metadata: dict[str, str]) -> None:
            save_pretrained(built, path, metadata=metadata, overwrite=True)
            stored = header(path)
            assert metadata.items() <= stored.items()
            assert {k for k in stored if k not in metadata} == {
                f"diar_ops.{k}" for k in ("architecture", "config", "format_version", "library_version")
            }
            assert load_pretrained(path).config == CONFIGS["DeepResidualSets"]

        check()

    def test_property_random_numbers_stay_untouched(self, saved: Path) -> None:
        before = torch.get_rng_state()
        save_pretrained(load_pretrained(saved), saved, overwrite=True)
        assert torch.equal(before, torch.get_rng_state())


def test_a_subclass_is_stored_as_its_base(tmp_path: Path) -> None:
    class DIAR(DeepResidualSets):
        """Not the class of this name that files hold."""

    built, path = DIAR(CONFIGS["DeepResidualSets"]), tmp_path / "net.safetensors"
    save_pretrained(built, path)
    assert header(path)["diar_ops.architecture"] == "DeepResidualSets"
    assert type(load_pretrained(path)) is DeepResidualSets


@pytest.mark.parametrize("name", ["diar", "dual"])
def test_what_is_loaded_in_inference_mode_can_be_trained(name: str) -> None:
    with torch.inference_mode():
        built = load_pretrained(name)
    assert not any(x.is_inference() for x in (*built.parameters(), *built.buffers()))
    apply_network(built, torch.rand(1, 2, 3, 16, 16)).sum().backward()
    assert any(p.grad is not None for p in built.parameters())


def test_compiled_networks_are_saved_as_what_they_are(tmp_path: Path) -> None:
    built = network("DIAR")
    save_pretrained(torch.compile(built, backend="eager"), tmp_path / "net.safetensors")
    loaded = load_pretrained(tmp_path / "net.safetensors").state_dict()
    assert loaded.keys() == built.state_dict().keys()


def test_header_says_what_it_is(saved: Path) -> None:
    stored = header(saved)
    assert stored["diar_ops.architecture"] == "DIAR"
    assert stored["diar_ops.format_version"] == "1"
    assert stored["diar_ops.library_version"] == diar_ops.__version__
    config = json.loads(stored["diar_ops.config"])
    assert config["window"] == [5, 2, 2]
    assert config["aggregation"] == "embedded_mean"


@every
@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_storage(name: str, half: torch.dtype, tmp_path: Path) -> None:
    built, path = network(name), tmp_path / "half.safetensors"
    save_pretrained(built, tmp_path / "full.safetensors")
    save_pretrained(built, path, dtype=half)
    stored = load_file(path)
    for key, value in load_pretrained(path).state_dict().items():
        expected = built.state_dict()[key]
        if expected.is_floating_point():
            assert stored[key].dtype == half
            assert value.dtype == torch.float32
            expected = expected.to(half).float()
        assert torch.equal(value, expected), key
    sizes = [sum(v.nbytes for v in load_file(p).values()) for p in (path, path.with_stem("full"))]
    assert sizes[0] < 0.6 * sizes[1]


def test_networks_in_half_or_double_come_back_in_float32(tmp_path: Path) -> None:
    for dtype in (torch.float16, torch.float64):
        built, path = network("DIAR").to(dtype), tmp_path / f"{dtype}.safetensors"
        save_pretrained(built, path)
        assert load_file(path)["encoder.stem.weight"].dtype == dtype
        loaded = load_pretrained(path).state_dict()
        for key, value in built.state_dict().items():
            if value.is_floating_point():
                assert torch.equal(loaded[key], value.float())


def test_shipped_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "SHIPPED", tmp_path / "absent")
    with pytest.raises(WeightsError, match=r"one of \['resnet18', 'resnet34', 'resnet50'\] or"):
        load_pretrained("tiny")
    monkeypatch.setattr(weights, "SHIPPED", tmp_path)
    save_pretrained(network("DIAR"), tmp_path / "tiny.safetensors")
    (tmp_path / "notes.txt").touch()
    assert isinstance(load_pretrained("tiny"), DIAR)
    for name in ("tinier", "notes", "tiny.safetensors"):
        with pytest.raises(WeightsError, match=rf"'resnet50', 'tiny'\] or .*'{name}'"):
            load_pretrained(name)


def test_what_is_shipped_loads() -> None:
    assert weights.SHIPPED.is_dir()
    for path in weights.SHIPPED.glob("*.safetensors"):
        assert hasattr(load_pretrained(path.stem), "config")
        assert path.stem not in weights.URLS


def test_a_network_is_no_descriptor(saved: Path) -> None:
    with pytest.raises(WeightsError, match=r"weights of a DualDescriptor or a ResNet, got .* holds a DIAR"):
        load_descriptor(str(saved))
