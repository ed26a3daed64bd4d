"""The mean weights are the mean, early steps are forgotten, buffers are the latest."""

from __future__ import annotations

import torch
from torch import nn

from diar_ops.training.ema import averaged_model
from tests.harness import assert_close


def test_mean_of_weights() -> None:
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1, affine=False))
    weight = network[0].weight
    nn.init.constant_(weight, 7.0)
    mean = averaged_model(network, decay=0.27)
    expected = 7.0
    for value, decay in [(1.0, 0.0), (2.0, 2 / 11), (4.0, 0.25), (8.0, 0.27)]:
        nn.init.constant_(weight, value)
        mean.update_parameters(network)
        expected = decay * expected + (1 - decay) * value
        assert_close(mean.module[0].weight.item(), expected)


def test_a_copy_in_eval_mode() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    mean = averaged_model(network, decay=0.9)
    assert network.training
    assert not mean.module.training
    assert not any(p.requires_grad for p in mean.module.parameters())
    network(torch.randn(5, 2, generator=torch.Generator().manual_seed(0)))
    before = mean.module[1].running_mean.clone()
    mean.update_parameters(network)
    assert torch.equal(mean.module[1].running_mean, network[1].running_mean)
    assert not torch.equal(mean.module[1].running_mean, before)
