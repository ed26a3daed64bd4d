"""Descriptors by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from diar_ops import (
    DeepResidualSets,
    DeepResidualSetsConfig,
    DenseSIFT,
    DtypeError,
    DualDescriptor,
    DualDescriptorConfig,
    ResNetTrunk,
    WeightsError,
    load_descriptor,
    save_pretrained,
)
from tests.harness import Call, OpTests, generator


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_file(ResNetTrunk("resnet18").state_dict(), tmp_path / "resnet18.safetensors")
    return tmp_path / "resnet18.safetensors"


@pytest.fixture
def dual(tmp_path: Path) -> Path:
    path = tmp_path / "dual.safetensors"
    save_pretrained(DualDescriptor(DualDescriptorConfig((4, 4, 4, 4), (0, 0, 0), 8, 6, 4)), path)
    return path


@pytest.fixture
def restorer(tmp_path: Path) -> Path:
    sizes = DeepResidualSetsConfig(channels=(4,), blocks=(0,), decoder_blocks=(0,))
    save_pretrained(DeepResidualSets(sizes), tmp_path / "sets.safetensors")
    return tmp_path / "sets.safetensors"


class TestLoadDescriptor(OpTests):
    op = "load_descriptor"
    exempt = {
        "oracle": "the descriptors that it returns have their oracles in tests/matching",
        "nan": "it takes a name or a path, and no tensor that could hold a NaN",
        "gradcheck": "it takes a name or a path, and no tensor to differentiate by",
        "compile": "it reads a file once, before anything is compiled",
    }

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        return Call((), {})

    def test_exception(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match="resnet19"):
            load_descriptor("resnet19")
        (tmp_path / "empty.pth").touch()
        with pytest.raises(WeightsError, match=r"empty\.pth"):
            load_descriptor(str(tmp_path / "empty.pth"))

    def test_cardinality(self) -> None:
        features = load_descriptor("sift")(torch.zeros(0, 3, 32, 32))
        assert features.descriptors.shape == (0, 128, 3, 3)

    def test_property_sift_needs_no_weights(self) -> None:
        descriptor = load_descriptor()
        assert isinstance(descriptor.trunk, DenseSIFT)
        assert not descriptor.training
        assert not list(descriptor.parameters())

    def test_property_weights_give_the_second_stage(self, saved: Path) -> None:
        descriptor = load_descriptor(str(saved))
        image = torch.rand(1, 3, 64, 48, generator=generator("descriptor-image"))
        with torch.no_grad():
            features = descriptor(image)
        assert features.descriptors.shape == (1, 128, 8, 6)
        assert features.stride == (8.0, 8.0)
        assert not descriptor.training

    def test_property_a_dual_descriptor_gives_its_coarse_stage(self, dual: Path) -> None:
        features = load_descriptor(str(dual))(torch.rand(1, 3, 64, 48))
        assert features.descriptors.shape == (1, 8, 8, 6)
        assert (features.stride, features.offset) == ((8.0, 8.0), (3.5, 3.5))

    def test_exception_of_a_network_for_something_else(self, restorer: Path) -> None:
        with pytest.raises(WeightsError, match="which holds a DeepResidualSets"):
            load_descriptor(str(restorer))

    def test_wrong_input_is_named(self) -> None:
        with pytest.raises(DtypeError, match="floating point"):
            load_descriptor()(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
