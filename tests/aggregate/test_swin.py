"""swin_aggregate against the textbook blocks and SciPy's softmax, and the contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import scipy.special
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from diar_ops import OptionError, SwinAggregate, WeightsError, swin_aggregate
from tests.aggregate.contract import AggregateTests, frames
from tests.aggregate.textbook_swin import SwinTests, textbook_stack
from tests.harness import Call, assert_close


class TestSwinAggregate(SwinTests, AggregateTests):
    op = "swin_aggregate"
    module = "SwinAggregate"
    exempt = {"autocast": "learned layers run in the precision that autocast asks for, as torch's own do"}

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        kwargs = {"window": (None, 3, 2), "heads": 2}
        features, valid = frames("swin call", 2, 3, 4, 5, 7)
        params = self.make_params(4, "swin call", **kwargs)
        params = {k: v.to(device, dtype) for k, v in params.items()}
        args = (features.to(device, dtype), params, valid.to(device))
        return Call(args, {**kwargs, "return_weights": True})

    def gradcheck_call(self, device: torch.device) -> tuple[Any, tuple[Tensor, ...]]:
        options: dict[str, Any] = {"window": (None, 2, 1), "heads": 1}
        features, valid = frames("swin gradcheck", 1, 2, 2, 3, 2)
        params = self.make_params(2, "swin gradcheck", mlp_ratio=1.0, **options)
        names = list(params)
        inputs = [x.to(device).requires_grad_() for x in (features, *params.values())]
        valid = valid.to(device)

        def function(x: Tensor, *values: Tensor) -> Tensor:
            return swin_aggregate(x, dict(zip(names, values, strict=True)), valid, **options)

        return function, tuple(inputs)

    @pytest.mark.parametrize("depth", [1, 3])
    @pytest.mark.parametrize("window", [(None, 2, 3), (2, 4, 2)])
    def test_oracle(self, depth: int, window: tuple[int | None, int, int]) -> None:
        features, valid = frames("swin oracle", 2, 3, 4, 5, 4)
        options: dict[str, Any] = {"window": window, "heads": 2}
        params = self.make_params(4, "swin oracle", depth=depth, **options)
        logits = textbook_stack(features, params, valid, window, 2)
        masked = logits.masked_fill(~valid, -torch.inf).numpy()
        weights = scipy.special.softmax(masked, axis=1)
        out, result = swin_aggregate(features, params, valid, return_weights=True, **options)
        assert_close(result, weights)
        assert_close(out, (weights * features.numpy()).sum(1))

    def test_property_one_pixel_changes_only_itself(self) -> None:
        """A pixel speaks to its windows: what it reaches is tested for every op of blocks."""
        self.test_property_one_pixel_reaches_its_windows_only()

    def test_property_float32_order_does_not_matter(self) -> None:
        module = SwinAggregate(16, window=(None, 4, 4))
        features, valid = frames("swin order", 1, 9, 16, 10, 7)
        features = features.float()
        with torch.no_grad():
            out = module(features, valid)
            assert_close(module(features.flip(1), valid.flip(1)), out, rtol=1e-6, atol=1e-6)

    def test_exception_names_of_blocks(self) -> None:
        features, _ = frames("swin names", 1, 2, 4, 2, 2)
        params = self.make_params(4, "swin names")
        gap = {k.replace("blocks.1", "blocks.2"): v for k, v in params.items()}
        with pytest.raises(WeightsError, match="without a gap"):
            swin_aggregate(features, gap)
        with pytest.raises(WeightsError, match="without a gap, got"):
            swin_aggregate(features, {})
        with pytest.raises(WeightsError, match=r"blocks.0.qkv.weight and so on, got qkv.weight"):
            swin_aggregate(features, {"qkv.weight": features})
        with pytest.raises(OptionError, match="a positive depth, got 0"):
            SwinAggregate(4, depth=0)

    def test_smoke_of_safetensors(self, tmp_path: Path) -> None:
        module = SwinAggregate(8, depth=3, window=(None, 2, 2), heads=2)
        save_file(module.state_dict(), tmp_path / "swin.safetensors")
        params = load_file(tmp_path / "swin.safetensors")
        features = torch.rand(1, 2, 8, 5, 5)
        out = swin_aggregate(features, params, window=(None, 2, 2), heads=2)
        assert torch.equal(out, module(features))
