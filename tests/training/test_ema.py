"""The mean weights are the mean, early steps are forgotten, buffers are the latest."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from diar_ops.training.ema import ExponentialMovingAverage
from tests.harness import assert_close


def test_mean_of_weights() -> None:
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1, affine=False))
    weight = network[0].weight
    nn.init.constant_(weight, 7.0)
    mean = ExponentialMovingAverage(network, decay=0.5)
    expected = 7.0
    for count, (value, decay) in enumerate([(1.0, 0.1), (2.0, 2 / 11), (4.0, 0.25), (8.0, 4 / 13)]):
        nn.init.constant_(weight, value)
        mean.update(network, count)
        expected = decay * expected + (1 - decay) * value
        assert_close(mean.network[0].weight.item(), expected)
    mean.update(network, 10**6)
    assert_close(mean.network[0].weight.item(), (expected + 8) / 2)


def test_a_copy_in_eval_mode() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    mean = ExponentialMovingAverage(network, decay=0.9)
    assert network.training
    assert not mean.network.training
    assert not any(p.requires_grad for p in mean.network.parameters())
    network(torch.randn(5, 2, generator=torch.Generator().manual_seed(0)))
    before = mean.network[1].running_mean.clone()
    mean.update(network, 0)
    assert torch.equal(mean.network[1].running_mean, network[1].running_mean)
    assert not torch.equal(mean.network[1].running_mean, before)


@pytest.mark.parametrize("decay", [0.0, 0.999])
def test_the_first_step_is_almost_all(decay: float) -> None:
    network = nn.Linear(1, 1)
    mean = ExponentialMovingAverage(network, decay)
    nn.init.constant_(network.weight, 100.0)
    mean.update(network, 0)
    assert mean.network.weight.item() >= 89
