"""save_pretrained and back: bit for bit, half precision, shipped names, every bad file."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import diar_ops
from diar_ops import (
    DIAR,
    DeepResidualSets,
    DeepResidualSetsConfig,
    DIARConfig,
    DualDescriptor,
    DualDescriptorConfig,
    FaithfulDIARConfig,
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

SIZES = {"channels": (4, 8), "blocks": (1, 1), "decoder_blocks": (0, 1)}
CONFIGS = {
    "DeepResidualSets": DeepResidualSetsConfig(**SIZES),
    "DIAR": DIARConfig(**SIZES, window=(5, 2, 2), aggregation="embedded_mean", mlp_ratio=1.5),
    "FaithfulDIAR": FaithfulDIARConfig(8, 1, 8, 4, 8, 1, 2, window=(5, 2, 2)),
    "DualDescriptor": DualDescriptorConfig((4, 8, 8, 8), (0, 1, 0), 8, 4, 6),
}

every = pytest.mark.parametrize("name", NETWORKS)


def network(name: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return NETWORKS[name].network(CONFIGS[name])


def made_of(built: nn.Module, frames: Tensor) -> Tensor:
    """What a network makes of frames: a picture, or descriptors of each."""
    if isinstance(built, DualDescriptor):
        return built(frames[0], stages=("fine",))["fine"]
    image: Tensor = built(frames).image
    return image


def header(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return dict(file.metadata())


def rewrite(path: Path, state: Mapping[str, Tensor] | None = None, **words: str | None) -> Path:
    """Change the tensors or the header of a file; ``None`` takes a word away."""
    known = header(path)
    for key, value in words.items():
        known.pop(f"diar_ops.{key}", None)
        if value is not None:
            known[f"diar_ops.{key}"] = value
    save_file(dict(load_file(path) if state is None else state), path, known)
    return path


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_pretrained(network("DIAR"), tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


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
            assert torch.equal(made_of(loaded, frames), made_of(built.cpu().eval(), frames))
        assert [p.name for p in path.parent.iterdir()] == [path.name]

    def test_exception(self, tmp_path: Path, saved: Path) -> None:
        built = network("DeepResidualSets")
        path = tmp_path / "other.safetensors"
        with pytest.raises(OptionError, match=r"a network among \['DeepRes.*, got 'Linear'"):
            save_pretrained(nn.Linear(1, 1), path)

        class DIAR(DeepResidualSets):
            """Not the class that the file would be read as."""

        with pytest.raises(OptionError, match="a network among"):
            save_pretrained(DIAR(), path)
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
            found = header(path)
            assert metadata.items() <= found.items()
            assert {k for k in found if k not in metadata} == {
                f"diar_ops.{k}"
                for k in ("architecture", "config", "format_version", "library_version")
            }
            assert load_pretrained(path).config == CONFIGS["DeepResidualSets"]

        check()

    def test_property_random_numbers_stay_untouched(self, saved: Path) -> None:
        before = torch.get_rng_state()
        save_pretrained(load_pretrained(saved), saved, overwrite=True)
        assert torch.equal(before, torch.get_rng_state())


def test_compiled_networks_are_saved_as_what_they_are(tmp_path: Path) -> None:
    built = network("DIAR")
    save_pretrained(torch.compile(built, backend="eager"), tmp_path / "net.safetensors")
    loaded = load_pretrained(tmp_path / "net.safetensors").state_dict()
    assert loaded.keys() == built.state_dict().keys()


def test_header_says_what_it_is(saved: Path) -> None:
    found = header(saved)
    assert found["diar_ops.architecture"] == "DIAR"
    assert found["diar_ops.format_version"] == "1"
    assert found["diar_ops.library_version"] == diar_ops.__version__
    config = json.loads(found["diar_ops.config"])
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
    with pytest.raises(
        WeightsError, match=r"weights of a DualDescriptor or a ResNet, got .* holds a DIAR"
    ):
        load_descriptor(str(saved))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_truncated_files(share: float, saved: Path) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(WeightsError, match=r"net\.safetensors is damaged or no weights file"):
        load_pretrained(saved)


def test_a_header_that_lies_about_its_length(saved: Path) -> None:
    saved.write_bytes(struct.pack("<Q", 2**62) + saved.read_bytes()[8:])
    with pytest.raises(WeightsError, match=r"net\.safetensors is damaged or no weights file"):
        load_pretrained(saved)


def test_wrong_keys_and_shapes_are_named(saved: Path) -> None:
    state = load_file(saved)
    del state["decoder.head.bias"]
    state["extra.weight"] = torch.zeros(2)
    state["encoder.stem.bias"] = torch.zeros(5)
    state["encoder.stem.weight"] = state["encoder.stem.weight"].long()
    rewrite(saved, state)
    with pytest.raises(WeightsError) as error:
        load_pretrained(saved)
    for part in (
        str(saved),
        "the DIAR of its own config",
        "missing decoder.head.bias",
        "unexpected extra.weight",
        "encoder.stem.bias [5] instead of [4]",
        "encoder.stem.weight torch.int64 instead of torch.float32",
        "get the file anew",
    ):
        assert part in str(error.value)


CONFIG = "expected the config in .* to"
BAD_HEADERS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown architecture": (
        {"architecture": "Mamba", "library_version": "9.1"},
        r"one of \['DeepResidualSets', .*, got 'Mamba'; update .* \(diar_ops 9\.1\)",
    ),
    "no architecture": ({"architecture": None}, "got ''"),
    "newer format": (
        {"format_version": "2", "library_version": "3.0"},
        r"is of format 2 \(written by diar_ops 3\.0\), .* up to 1; update diar_ops",
    ),
    "huge format": ({"format_version": "9" * 5000}, "is of format 999999999 .*; update diar_ops"),
    "format of another kind": ({"format_version": "one"}, "is damaged .* 'one'"),
    "negative format": ({"format_version": "-1"}, "is damaged .* '-1'"),
    "no config": ({"config": None}, "the config in .* is no JSON; get the file anew"),
    "no JSON": ({"config": "{channels: 3}"}, "the config in .* is no JSON; get the file anew"),
    "deep JSON": ({"config": "[" * 100_000}, "the config in .* is no JSON; get the file anew"),
    "a list": ({"config": "[1, 2]"}, f"{CONFIG} be a JSON object, got list"),
    "unknown field": (
        {"config": '{"depth": 1, "experts": 8}'},
        rf"{CONFIG} have fields among \['channels', .*, got \['experts'\]; update diar_ops",
    ),
    "invalid field": (
        {"config": '{"heads": 7}'},
        r"is not valid \(DIARConfig: expected heads that divide 64 channels, got 7\); get the",
    ),
    "invalid kind": ({"config": '{"channels": {"a": 1}}'}, "is not valid .*1 to 6 positive"),
    "no number": ({"config": '{"mlp_ratio": NaN}'}, "is not valid .*positive mlp_ratio"),
    "other sizes": ({"config": '{"channels": [8, 8, 8]}'}, "do not fit the DIAR of its own config"),
}


@pytest.mark.parametrize("case", BAD_HEADERS)
def test_bad_headers(case: str, saved: Path) -> None:
    words, message = BAD_HEADERS[case]
    rewrite(saved, **words)
    with pytest.raises(WeightsError, match=message) as error:
        load_pretrained(saved)
    assert str(saved) in str(error.value)


def test_a_config_too_large_for_the_machine(saved: Path) -> None:
    rewrite(saved, config=json.dumps({"channels": [2**40] * 3, "heads": 1}))
    with pytest.raises(WeightsError, match=r"the config in .* builds no DIAR .*; get the file"):
        load_pretrained(saved)


def test_fields_of_later_versions_have_defaults(saved: Path) -> None:
    """A file that was written before an option existed means what the option is by default."""
    config = json.loads(header(saved)["diar_ops.config"])
    del config["temporal_bias"]
    rewrite(saved, config=json.dumps(config))
    assert load_pretrained(saved).config == CONFIGS["DIAR"]


def test_a_file_without_header_is_taken_for_a_trunk(saved: Path) -> None:
    save_file(load_file(saved), saved)
    with pytest.raises(WeightsError, match="to hold the trunk of one of"):
        load_pretrained(saved)
