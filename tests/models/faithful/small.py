"""A small FaithfulDIAR, and what is compared of its results."""

from __future__ import annotations

import torch
from torch import Tensor

from diar_ops._types import Restored
from diar_ops.models import FaithfulDIAR, FaithfulDIARConfig
from tests.harness import assert_close, generator

NAN = float("nan")
SMALL = FaithfulDIARConfig(
    whole_channels=8, whole_blocks=2, common_channels=8, context_channels=4, channels=8, blocks=2,
    heads=2, window=(None, 2, 2),
)  # fmt: skip
NAMES = ("image", "weights", "gain", "veil")


def network(config: FaithfulDIARConfig = SMALL, noise: float = 0.15) -> FaithfulDIAR:
    """A small network whose parameters are random throughout, in float64."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        built = FaithfulDIAR(config).double()
    rng = generator("parameters of a faithful network")
    with torch.no_grad():
        for parameter in built.parameters():
            parameter += noise * torch.randn(parameter.shape, generator=rng, dtype=torch.float64)
    return built.eval()


def known(frames: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Frames that are 0 where they are not valid, as the parts of the network want them."""
    return torch.where(valid, frames, 0), valid


def assert_same(one: Restored, other: Restored, **tolerance: float) -> None:
    for name in NAMES:
        assert_close(getattr(one, name), getattr(other, name), **tolerance)
