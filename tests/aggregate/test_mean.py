"""mean_aggregate against NumPy's masked mean, and the contract."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from diar_ops import mean_aggregate
from tests.aggregate.contract import AggregateTests, frames
from tests.harness import Call, assert_close


class TestMeanAggregate(AggregateTests):
    op = "mean_aggregate"
    module = "MeanAggregate"

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        features, valid = frames("mean call", 2, 4, 3, 5, 6)
        return Call((features.to(device, dtype), valid.to(device)), {"return_weights": True})

    def gradcheck_call(self, device: torch.device) -> tuple[Any, tuple[Tensor, ...]]:
        features, valid = frames("mean gradcheck", 1, 3, 2, 2, 3)
        valid[0, :, 0, 1, 1] = False
        features, valid = features.to(device).requires_grad_(), valid.to(device)
        return lambda f: mean_aggregate(f, valid), (features,)

    def test_oracle_numpy(self, dtype: torch.dtype) -> None:
        features, valid = frames("mean oracle", 2, 6, 3, 7, 5)
        features = features.to(dtype)
        masked = np.ma.masked_array(features.numpy(), mask=np.broadcast_to(~valid.numpy(), features.shape))
        assert_close(mean_aggregate(features, valid), masked.mean(axis=1).data)
        assert_close(mean_aggregate(features), features.numpy().mean(axis=1))
