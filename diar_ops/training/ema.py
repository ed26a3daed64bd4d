"""An exponential moving average of weights, which is better than the last weights."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class ExponentialMovingAverage:
    """An exponential moving average of a network's parameters; its buffers are the latest.

    Args:
        network: The network that is trained.
        decay: What the mean keeps in a step. At first it keeps less, so that it does not remember
            the initial weights: (1 + n) / (10 + n) after n steps.

    Attributes:
        network: A copy of the network in eval mode, with the mean weights.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module, count: int) -> None:
        """Update the mean with the present weights, after ``count`` earlier updates."""
        share = 1 - min(self.decay, (1 + count) / (10 + count))
        mean: list[Tensor] = list(self.network.parameters())
        latest: list[Tensor] = list(network.parameters())
        torch._foreach_lerp_(mean, latest, share)
        for buffer, source in zip(self.network.buffers(), network.buffers(), strict=True):
            buffer.copy_(source)
