"""dense_stages: each stage as dense_descriptors gives it, from one pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from diar_ops import DtypeError, OptionError, ShapeError, dense_descriptors, dense_stages
from tests.harness import Call, OpTests
from tests.matching.trunks import Blocks, Lists, Ramps, noise


class TestDenseStages(OpTests):
    op = "dense_stages"
    exempt = {"autocast": "learned layers run in the precision that autocast asks for, as torch's own do"}

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        images = noise("dense_stages", 2, 3, 37, 30).to(device, dtype)
        return Call((images,), {"trunk": Blocks().to(device, dtype), "min_contrast": 0.01})

    def gradcheck_call(self, device: torch.device) -> tuple[Callable[..., Any], tuple[Tensor, ...]]:
        images = noise("dense_stages gradcheck", 1, 3, 8, 8, dtype=torch.float64).to(device)
        trunk = Blocks().to(device, torch.float64)
        images.requires_grad_()
        return lambda x: dense_stages(x, trunk)[0].descriptors, (images,)

    def test_exception(self) -> None:
        images = torch.zeros(1, 3, 32, 32)
        with pytest.raises(ShapeError, match="dense_stages: images must have shape"):
            dense_stages(images[0], Ramps())
        with pytest.raises(DtypeError, match="floating point"):
            dense_stages(images.to(torch.uint8), Ramps())
        with pytest.raises(OptionError, match=r"dense_stages: .* states its stride"):
            dense_stages(images, nn.Identity())
        with pytest.raises(OptionError, match=r"dense_stages: .*'coarse'\], got 'deep'"):
            dense_stages(images, Ramps(), stages=("deep",))

    def test_cardinality(self) -> None:
        result = dense_stages(noise("cardinality", 0, 3, 36, 48), Ramps())
        assert {key: f.descriptors.shape for key, f in result.items()} == {
            "fine": (0, 2, 18, 24),
            "coarse": (0, 2, 6, 8),
        }

    def test_oracle_each_stage_alone(self) -> None:
        images = noise("stages alone", 2, 3, 48, 48)
        images[1, 0, 20, 20] = float("nan")
        for trunk, stages in ((Ramps(), ("coarse", "fine")), (Lists(), (1,)), (Lists(), None)):
            result = dense_stages(images, trunk, stages=stages)
            assert tuple(result) == (stages or (0, 1))
            for key, features in result.items():
                alone = dense_descriptors(images, trunk, stages=key)
                assert torch.equal(features.descriptors, alone.descriptors)
                assert features.valid is not None
                assert alone.valid is not None
                assert torch.equal(features.valid, alone.valid)
                assert (features.stride, features.offset) == (alone.stride, alone.offset)

    def test_property_the_trunk_runs_once(self) -> None:
        runs = []

        class Counted(Ramps):
            def forward(self, images: Tensor) -> dict[str, Tensor]:
                runs.append(len(images))
                return super().forward(images)

        dense_stages(noise("once", 1, 3, 48, 48), Counted())
        assert runs == [1]

    def test_nan(self) -> None:
        images = noise("nan stages", 2, 3, 48, 48)
        clean = dense_stages(images, Ramps())
        images[0, 1, 5, 5] = float("nan")
        for key, features in dense_stages(images, Ramps()).items():
            assert features.descriptors.isfinite().all()
            assert features.valid is not None
            assert not features.valid[0].all()
            assert torch.equal(features.descriptors[1], clean[key].descriptors[1])
