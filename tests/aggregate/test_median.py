"""median_aggregate against numpy.nanmedian, its sorting network, and the contract."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import diar_ops.aggregate.median as median_module
from diar_ops import median_aggregate
from diar_ops.aggregate._median.sorting import comparators, sort_slices
from tests.aggregate.contract import AggregateTests, frames
from tests.harness import Call, assert_close


class TestMedianAggregate(AggregateTests):
    op = "median_aggregate"
    module = "MedianAggregate"

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        features, valid = frames("median call", 2, 5, 3, 5, 6)
        return Call((features.to(device, dtype), valid.to(device)), {"return_weights": True})

    def gradcheck_call(self, device: torch.device) -> tuple[Any, tuple[Tensor, ...]]:
        features, valid = frames("median gradcheck", 1, 5, 2, 2, 3)
        valid[0, :, 0, 1, 1] = False
        features, valid = features.to(device).requires_grad_(), valid.to(device)
        return lambda f: median_aggregate(f, valid), (features,)

    @pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 10, 33, 70, 257])
    def test_oracle_numpy(self, count: int, dtype: torch.dtype) -> None:
        features, valid = frames(f"median oracle {count}", 2, count, 3, 7, 5)
        features = features.to(dtype)
        holed = np.where(valid.numpy(), features.numpy(), np.nan)
        assert_close(median_aggregate(features, valid), np.nanmedian(holed, axis=1))
        assert_close(median_aggregate(features), np.median(features.numpy(), axis=1))

    def test_oracle_with_gradient_is_the_same_function(self) -> None:
        features, valid = frames("median paths", 2, 8, 3, 7, 5)
        features = features.mul(4).round().div(4)  # ties
        for mask in (None, valid):
            plain = median_aggregate(features, mask)
            tracked = median_aggregate(features.clone().requires_grad_(), mask)
            weighted, _ = median_aggregate(features, mask, return_weights=True)
            assert torch.equal(plain, tracked)
            assert torch.equal(plain, weighted)

    def test_property_bands_do_not_show(self, monkeypatch: pytest.MonkeyPatch) -> None:
        features, valid = frames("median bands", 2, 6, 3, 11, 5)
        features[0, 2, 0, 4, 4] = torch.nan  # in one band only
        expected = median_aggregate(features, valid), median_aggregate(features)
        monkeypatch.setattr(median_module, "BAND_ELEMENTS", 70)
        assert torch.equal(median_aggregate(features, valid), expected[0])
        assert torch.equal(median_aggregate(features), expected[1])

    @given(st.floats(0.1, 10), st.floats(-5, 5))
    def test_property_follows_increasing_maps(self, scale: float, shift: float) -> None:
        features, valid = frames("median monotone", 1, 5, 2, 3, 3)
        moved = median_aggregate(features * scale + shift, valid)
        assert_close(moved, median_aggregate(features, valid) * scale + shift)

    def test_property_a_minority_of_outliers_does_not_matter(self) -> None:
        features, _ = frames("median outliers", 1, 9, 2, 6, 6)
        features = 0.5 + 0.01 * features
        features[:, :4] = 1e6
        assert median_aggregate(features).amax() < 0.52

    def test_weights_pick_the_middle_frames(self) -> None:
        values = torch.tensor([3.0, 1.0, 2.0, 9.0]).view(1, 4, 1, 1, 1)
        _, weights = median_aggregate(values, return_weights=True)
        assert weights.flatten().tolist() == [0.5, 0.0, 0.5, 0.0]
        _, weights = median_aggregate(values[:, :3], return_weights=True)
        assert weights.flatten().tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize("count", range(1, 13))
def test_network_sorts_every_zero_one_sequence(count: int) -> None:
    """Knuth's zero-one principle: a network that sorts these sorts everything."""
    inputs = torch.tensor(list(product([0.0, 1.0], repeat=count)))
    expected = inputs.sort(dim=1).values
    assert torch.equal(torch.stack(sort_slices(list(inputs.unbind(1))), dim=1), expected)
    middle = ((count - 1) // 2, count // 2)
    pruned = sort_slices(list(inputs.unbind(1)), middle)
    for rank in middle:
        assert torch.equal(pruned[rank], expected[:, rank])
    assert len(comparators(count, middle)) <= len(comparators(count))
