"""Descriptors by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from diar_ops import DenseSIFT, DtypeError, ResNetTrunk, WeightsError, load_descriptor
from tests.harness import Call, OpTests, generator


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_file(ResNetTrunk("resnet18").state_dict(), tmp_path / "resnet18.safetensors")
    return tmp_path / "resnet18.safetensors"


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
        found = load_descriptor("sift")(torch.zeros(0, 3, 32, 32))
        assert found.descriptors.shape == (0, 128, 3, 3)

    def test_property_sift_needs_no_weights(self) -> None:
        descriptor = load_descriptor()
        assert isinstance(descriptor.trunk, DenseSIFT)
        assert not descriptor.training
        assert not list(descriptor.parameters())

    def test_property_weights_give_the_second_stage(self, saved: Path) -> None:
        descriptor = load_descriptor(str(saved))
        image = torch.rand(1, 3, 64, 48, generator=generator("descriptor-image"))
        with torch.no_grad():
            found = descriptor(image)
        assert found.descriptors.shape == (1, 128, 8, 6)
        assert found.stride == (8.0, 8.0)
        assert not descriptor.training

    def test_wrong_input_is_named(self) -> None:
        with pytest.raises(DtypeError, match="floating point"):
            load_descriptor()(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
