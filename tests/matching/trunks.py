"""Small trunks whose features are known."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diar_ops import dense_sift
from tests.harness import generator


def noise(name: str, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(*shape, generator=generator(name), dtype=dtype)


class Ramps(nn.Module):
    """A user's network: each cell of each stage knows its own (x, y), by block averages."""

    stride = {"fine": 2, "coarse": 6}
    offset = {"fine": 0.5, "coarse": 2.5}

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        one = torch.ones_like(images[:, :1])
        y = torch.arange(images.shape[-2]).to(one)[:, None] * one
        x = torch.arange(images.shape[-1]).to(one) * one
        maps = torch.cat([x + 1, y + 1], dim=1)
        return {name: F.avg_pool2d(maps, int(s)) for name, s in self.stride.items()}


class Blocks(nn.Module):
    """One stage of learnt features, a convolution over blocks of 4 x 4 pixels."""

    stride = 4
    offset = 1.5

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 4, stride=4)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator("blocks")))

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(images)


class Lists(nn.Module):
    """Two stages in a list, square roots of SIFT bins, one stride and window for both."""

    stride = (4, 8)
    offset = (7.5, 7.5)
    window = 16

    def forward(self, images: Tensor) -> list[Tensor]:
        return [dense_sift(images, stride=s) for s in self.stride]
