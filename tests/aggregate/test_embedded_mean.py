"""embedded_mean_aggregate against the textbook blocks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from diar_ops import embedded_mean_aggregate
from tests.aggregate.contract import frames
from tests.aggregate.textbook_swin import SwinTests, textbook_stack
from tests.harness import Call, assert_close, generator


class TestEmbeddedMeanAggregate(SwinTests):
    op = "embedded_mean_aggregate"
    module = "EmbeddedMeanAggregate"
    exempt = {"autocast": "learned layers run in the precision that autocast asks for, as torch's own do"}

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        kwargs = {"window": (None, 3, 2), "heads": 2}
        features, valid = frames("embedded call", 2, 3, 4, 5, 7)
        params = self.make_params(4, "embedded call", **kwargs)
        params = {k: v.to(device, dtype) for k, v in params.items()}
        return Call((features.to(device, dtype), params, valid.to(device)), kwargs)

    def gradcheck_call(self, device: torch.device) -> tuple[Any, tuple[Tensor, ...]]:
        options: dict[str, Any] = {"window": (None, 2, 1), "heads": 1}
        features, valid = frames("embedded gradcheck", 1, 2, 2, 3, 2)
        params = self.make_params(2, "embedded gradcheck", mlp_ratio=1.0, **options)
        names = list(params)
        inputs = [x.to(device).requires_grad_() for x in (features, *params.values())]
        valid = valid.to(device)

        def function(x: Tensor, *values: Tensor) -> Tensor:
            params = dict(zip(names, values, strict=True))
            return embedded_mean_aggregate(x, params, valid, **options)

        return function, tuple(inputs)

    @pytest.mark.parametrize("window", [(None, 2, 3), (2, 4, 2)])
    def test_oracle(self, window: tuple[int | None, int, int]) -> None:
        features, valid = frames("embedded oracle", 2, 3, 4, 5, 4)
        valid[0, :, :, 2, 2] = False
        options: dict[str, Any] = {"window": window, "heads": 2}
        params = self.make_params(4, "embedded oracle", depth=3, **options)
        embedding = textbook_stack(features, params, valid, window, 2)
        expected = embedding.sum(1) / valid.sum(1).clamp(min=1)
        assert_close(embedded_mean_aggregate(features, params, valid, **options), expected)
        assert expected[0, :, 2, 2].eq(0).all()

    def test_property_order_does_not_matter(self) -> None:
        features, valid = frames("embedded order", 2, 6, 2, 5, 6)
        order = torch.randperm(6, generator=generator("embedded order"))
        out = self.apply(features, valid=valid)
        other = self.apply(features[:, order], valid=valid[:, order])
        assert_close(other, out, rtol=1e-12, atol=1e-13)

    def test_nan_half_precision(self) -> None:
        features, valid = frames("embedded half", 1, 4, 2, 5, 6)
        half = (features * 300).half()
        half[0, 1, 0, 3, 3] = torch.nan
        out = self.apply(half, valid=valid)
        assert out.dtype == torch.float16
        assert torch.equal(out, self.apply(half.float(), valid=valid).half())
