"""soft_minimum_aggregate against its formula in NumPy, and the contract."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diar_ops import OptionError, mean_aggregate, median_aggregate, soft_minimum_aggregate
from tests.aggregate.contract import NAN, AggregateTests, frames
from tests.harness import Call, assert_close, generator


def by_formula(features: Tensor, valid: Tensor, temperature: float, tolerance: float, support: float) -> np.ndarray:
    """Compute each pixel by itself, frame by frame."""
    batch, _, channels, height, width = features.shape
    out = np.zeros((batch, channels, height, width))
    for b, i, j in np.ndindex(batch, height, width):
        values = features[b, :, :, i, j][valid[b, :, 0, i, j]].double().numpy()  # [n, C]
        distance = ((values[:, None] - values[None]) ** 2).mean(-1)
        agreeing = np.exp(-distance / (2 * tolerance**2)).sum(1)
        lacking = np.log(np.minimum(1, agreeing / max(2, support * len(values))))
        logits = -(values.mean(1) - 2 * lacking) / temperature
        weights = np.exp(logits - logits.max())
        out[b, :, i, j] = weights @ values / weights.sum()
    return out


class TestSoftMinimumAggregate(AggregateTests):
    op = "soft_minimum_aggregate"
    module = "SoftMinimumAggregate"

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        features, valid = frames("soft minimum call", 2, 4, 3, 5, 6)
        args = (features.to(device, dtype), valid.to(device))
        return Call(args, {"temperature": 0.2, "tolerance": 0.3, "support": 0.5, "return_weights": True})

    def gradcheck_call(self, device: torch.device) -> tuple[Any, tuple[Tensor, ...]]:
        features, valid = frames("soft minimum gradcheck", 1, 3, 2, 2, 3)
        valid[0, :, 0, 1, 1] = False
        inputs, valid = features.to(device).requires_grad_(), valid.to(device)
        return lambda f: soft_minimum_aggregate(f, valid, temperature=0.5, tolerance=0.4), (inputs,)

    def test_exception(self) -> None:
        features, _ = frames("soft minimum errors", 1, 3, 3, 2, 2)
        with pytest.raises(OptionError, match="a positive temperature, got 0"):
            soft_minimum_aggregate(features, temperature=0)
        with pytest.raises(OptionError, match="a positive tolerance, got -1"):
            soft_minimum_aggregate(features, tolerance=-1)
        with pytest.raises(OptionError, match="0 <= support <= 1, got 2"):
            soft_minimum_aggregate(features, support=2)

    @pytest.mark.parametrize("options", [(0.05, 0.06, 0.25), (0.3, 0.2, 0.6), (1e-3, 1.0, 0.0)])
    def test_oracle_numpy(self, options: tuple[float, float, float], dtype: torch.dtype) -> None:
        features, valid = frames("soft minimum oracle", 2, 6, 3, 4, 5)
        features = features.to(dtype)
        expected = by_formula(features, valid, *options)
        names = ("temperature", "tolerance", "support")
        actual = soft_minimum_aggregate(features, valid, **dict(zip(names, options, strict=True)))
        assert_close(actual, expected, rtol=1e-4, atol=1e-4 if dtype == torch.float32 else 1e-9)

    def test_property_one_pixel_changes_only_itself(self) -> None:
        """All channels of a pixel share their weights, which rounding may change with one of them."""
        features, valid = frames("isolation", 3, 4, 2, 5, 6, share_valid=1.0)
        before = soft_minimum_aggregate(features, valid)
        features[1, :, 0, 2, 3] += 1
        change = soft_minimum_aggregate(features, valid) - before
        assert_close(change[1, :, 2, 3], torch.tensor([1.0, 0.0], dtype=change.dtype))
        change[1, :, 2, 3] = 0
        assert change.eq(0).all()

    @given(st.floats(-3, 3), st.integers(0, 1000))
    def test_property_follows_a_shift(self, shift: float, seed: int) -> None:
        features, valid = frames(f"soft minimum shift {seed}", 1, 5, 3, 2, 2)
        moved = soft_minimum_aggregate(features + shift, valid)
        assert_close(moved, soft_minimum_aggregate(features, valid) + shift, rtol=1e-9, atol=1e-9)

    @given(st.integers(2, 12), st.integers(0, 1000))
    def test_property_light_that_is_added_to_most_frames_goes(self, count: int, seed: int) -> None:
        draw = generator(f"soft minimum glare {seed}")
        picture = 0.1 + 0.3 * torch.rand(1, 3, 4, 4, generator=draw, dtype=torch.float64)
        clean = max(2, round(0.3 * count))
        glare = 0.2 + 0.4 * torch.rand(1, count, 1, 4, 4, generator=draw, dtype=torch.float64)
        glare[:, :clean] = 0
        spoiled = picture[:, None] + glare[:, torch.randperm(count, generator=draw)]
        assert_close(soft_minimum_aggregate(spoiled), picture, rtol=0, atol=0.02)

    def test_property_one_dark_frame_does_not_matter(self) -> None:
        features, _ = frames("soft minimum occluder", 1, 7, 3, 6, 6)
        features = 0.9 + 0.02 * features
        features[:, 3] = 0.0
        assert soft_minimum_aggregate(features).amin() > 0.89
        assert soft_minimum_aggregate(features[:, 2:5]).amin() > 0.89

    def test_the_darker_of_two_wins(self) -> None:
        values = torch.tensor([0.8, 0.2]).view(1, 2, 1, 1, 1)
        assert_close(soft_minimum_aggregate(values).flatten(), torch.tensor([0.2]), atol=1e-3)

    def test_property_a_high_temperature_is_the_mean(self) -> None:
        features, valid = frames("soft minimum hot", 2, 6, 3, 4, 4)
        hot = soft_minimum_aggregate(features, valid, temperature=1e9)
        assert_close(hot, mean_aggregate(features, valid), rtol=1e-6)

    def test_property_never_far_above_the_median(self) -> None:
        features, _ = frames("soft minimum median", 1, 9, 1, 6, 6)
        dark = soft_minimum_aggregate(features, tolerance=0.2)
        assert (dark <= median_aggregate(features) + 0.05).all()

    def test_nan_and_huge_values_have_finite_gradients(self) -> None:
        features = torch.tensor([0.2, 1e30, NAN, -1e30]).view(1, 4, 1, 1, 1).requires_grad_()
        soft_minimum_aggregate(features).sum().backward()
        assert features.grad is not None
        assert features.grad.isfinite().all()
