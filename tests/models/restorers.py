"""Small networks that restore pictures, and frames for them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from diar_ops import DIAR, DeepResidualSets, DeepResidualSetsConfig, DIARConfig
from tests.harness import generator

NAN = float("nan")
SIZES = {"channels": (6, 8, 12), "blocks": (1, 0, 1)}
ORDERLESS = {
    "sets": DeepResidualSetsConfig(**SIZES),
    "softmax": DIARConfig(**SIZES),
    "embedded mean": DIARConfig(**SIZES, aggregation="embedded_mean", depth=1, heads=2),
    "mean": DIARConfig(**SIZES, aggregation="mean"),
}
CONFIGS = {
    **ORDERLESS,
    "two frames a window": DIARConfig(**SIZES, window=(2, 2, 3), temporal_bias=True),
    "stride 8": DeepResidualSetsConfig((4, 4, 6, 8), (0, 0, 0, 1), (0, 1, 0, 0)),
}
every = pytest.mark.parametrize("name", CONFIGS)
orderless = pytest.mark.parametrize("name", ORDERLESS)


def network(name: str) -> DeepResidualSets:
    """A small network whose parameters are random throughout, in float64."""
    config = CONFIGS[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        built = DIAR(config) if isinstance(config, DIARConfig) else DeepResidualSets(config)
    rng = generator(f"parameters of {name}")
    built = built.double()
    with torch.no_grad():
        for parameter in built.parameters():
            noise = torch.randn(parameter.shape, generator=rng, dtype=torch.float64)
            parameter += 0.1 * noise
    return built.eval()


def sequence(name: str, *shape: int, share_valid: float = 0.6) -> tuple[Tensor, Tensor]:
    """Frames (B, T, 3, H, W) and a mask, in which frame 0 is valid everywhere."""
    batch, count, height, width = shape
    rng = generator(name)
    frames = torch.rand(batch, count, 3, height, width, generator=rng, dtype=torch.float64)
    valid = torch.rand(batch, count, 1, height, width, generator=rng) < share_valid
    valid[:, 0] = True
    return frames, valid


def overfit(built: nn.Module, steps: int) -> list[float]:
    """Train a network on one spoiled example; return the losses."""
    rows, columns = torch.meshgrid(torch.arange(24), torch.arange(24), indexing="ij")
    label = torch.stack((rows / 24, columns / 24, (rows // 6 + columns // 6) % 2))[None]
    frames = (label[:, None] * torch.tensor([0.4, 0.8, 1.0]).view(1, 3, 1, 1, 1)).clone()
    frames[:, 1, :, 5:15, 5:15] = 0
    optimiser = torch.optim.Adam(built.parameters(), lr=3e-3)
    losses = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = (built(frames).image - label).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses
