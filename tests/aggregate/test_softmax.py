"""softmax_aggregate against SciPy's softmax, and the contract."""

from __future__ import annotations

from typing import Any

import pytest
import scipy.special
import torch
from torch import Tensor

from diar_ops import DtypeError, OptionError, ShapeError, mean_aggregate, softmax_aggregate
from tests.aggregate.contract import NAN, AggregateTests, frames
from tests.harness import Call, assert_close, generator


class TestSoftmaxAggregate(AggregateTests):
    op = "softmax_aggregate"
    module = "SoftmaxAggregate"

    def extra(self, features: Tensor) -> tuple[Tensor, ...]:
        logits = torch.randn(features.shape, generator=generator("logits"), dtype=torch.float64)
        return (logits,)

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        features, valid = frames("softmax call", 2, 4, 3, 5, 6)
        (logits,) = self.extra(features)
        args = (features.to(device, dtype), logits.to(device, dtype), valid.to(device))
        return Call(args, {"temperature": 0.5, "return_weights": True})

    def gradcheck_call(self, device: torch.device) -> tuple[Any, tuple[Tensor, ...]]:
        features, valid = frames("softmax gradcheck", 1, 3, 2, 2, 3)
        valid[0, :, 0, 1, 1] = False
        (logits,) = self.extra(features)
        inputs = tuple(x.to(device).requires_grad_() for x in (features, logits))
        valid = valid.to(device)
        return lambda f, y: softmax_aggregate(f, y, valid, temperature=0.7), inputs

    def test_exception(self) -> None:
        features, _ = frames("softmax errors", 2, 3, 4, 2, 2)
        with pytest.raises(ShapeError, match="logits must have 1 or 4 channels"):
            softmax_aggregate(features, features[:, :, :2])
        with pytest.raises(ShapeError, match="with T = 3"):
            softmax_aggregate(features, features[:, :2])
        with pytest.raises(DtypeError, match="logits must be floating point"):
            softmax_aggregate(features, features.long())
        with pytest.raises(OptionError, match="a positive temperature, got 0"):
            softmax_aggregate(features, features, temperature=0)

    @pytest.mark.parametrize("shared", [True, False])
    def test_oracle_scipy(self, shared: bool, dtype: torch.dtype) -> None:
        features, valid = frames("softmax oracle", 2, 6, 3, 7, 5)
        (logits,) = self.extra(features)
        logits = logits[:, :, :1] if shared else logits
        masked = logits.masked_fill(~valid, -torch.inf).numpy() / 0.5
        expected = (scipy.special.softmax(masked, axis=1) * features.numpy()).sum(1)
        out, weights = softmax_aggregate(
            features.to(dtype), logits.to(dtype), valid, temperature=0.5, return_weights=True
        )
        assert_close(out, expected)
        assert weights.shape == logits.shape

    def test_property_limits_of_the_temperature(self) -> None:
        features, valid = frames("softmax limits", 2, 6, 3, 7, 5)
        (logits,) = self.extra(features)
        hot = softmax_aggregate(features, logits, valid, temperature=1e12)
        assert_close(hot, mean_aggregate(features, valid))
        cold = softmax_aggregate(features, logits, valid, temperature=1e-6)
        best = logits.masked_fill(~valid, -torch.inf).argmax(1, keepdim=True)
        assert_close(cold, features.gather(1, best)[:, 0])

    def test_property_a_common_shift_of_the_logits_does_not_matter(self) -> None:
        features, valid = frames("softmax shift", 2, 4, 3, 4, 4)
        (logits,) = self.extra(features)
        first = softmax_aggregate(features, logits, valid)
        assert_close(softmax_aggregate(features, logits + 500, valid), first, rtol=1e-9)

    def test_nan_logits_count_as_invalid(self) -> None:
        features, _ = frames("softmax nan", 1, 4, 2, 3, 3)
        (logits,) = self.extra(features)
        valid = torch.ones(1, 4, 1, 3, 3, dtype=torch.bool)
        valid[0, 2, 0, 1, 1] = False
        expected = softmax_aggregate(features, logits, valid)
        logits[0, 2, :, 1, 1] = torch.tensor([NAN, torch.inf])
        assert torch.equal(softmax_aggregate(features, logits), expected)

    def test_huge_logits_do_not_overflow(self) -> None:
        features, _ = frames("softmax huge", 1, 2, 1, 1, 1)
        logits = torch.tensor([1e38, -1e38]).view(1, 2, 1, 1, 1)
        out = softmax_aggregate(features.float(), logits, temperature=0.1)
        assert_close(out.flatten(), features[0, 0].float().flatten())


def test_huge_float64_logits_of_float32_features() -> None:
    features = torch.tensor([1.0, 3.0]).view(1, 2, 1, 1, 1)
    logits = torch.tensor([1e300, 1e300], dtype=torch.float64).view(1, 2, 1, 1, 1)
    assert softmax_aggregate(features, logits).item() == 2.0


@pytest.mark.parametrize(("of_features", "of_logits"), [(32, 64), (64, 32), (64, 16), (16, 64)])
def test_features_and_logits_may_differ_in_dtype(of_features: int, of_logits: int) -> None:
    rng = generator("mixed dtypes")
    features, logits = torch.randn(2, 1, 3, 2, 4, 4, generator=rng)
    expected = softmax_aggregate(features, logits)
    one, two = (getattr(torch, f"float{bits}") for bits in (of_features, of_logits))
    merged = softmax_aggregate(features.to(one), logits.to(two))
    assert merged.dtype == one
    assert_close(merged, expected, rtol=5e-3, atol=5e-3)
