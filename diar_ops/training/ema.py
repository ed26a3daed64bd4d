"""An exponential moving average of weights, which is better than the last weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import PARAM_LIST, AveragedModel


def averaged_model(network: nn.Module, decay: float) -> AveragedModel:
    """Return a model that averages a network's parameters exponentially; its buffers are the latest.

    Args:
        network: The network that is trained.
        decay: What the mean keeps in a step. At first it keeps less, so that early weights are
            soon forgotten: nothing in the first step, (1 + n) / (10 + n) after n steps.

    Returns:
        A model whose ``module`` is a copy of the network in eval mode, with the mean weights.
    """

    def update(mean: PARAM_LIST, latest: PARAM_LIST, count: Tensor | int) -> None:
        n = int(count)
        torch._foreach_lerp_(mean, latest, 1 - min(decay, (1 + n) / (10 + n)))

    return AveragedModel(network, multi_avg_fn=update).eval().requires_grad_(False)
