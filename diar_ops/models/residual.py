"""The residual encoder and decoder around the aggregation, without any norm.

Norms over the batch make items depend on each other and fail at batch 1. Norms over a frame make
every pixel depend on all the others: crops of training then look different from whole pictures,
a picture worked on in parts differs from part to part, and what is invalid shifts what is not.
Residual branches that start small keep the signal in range without one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SLOPE = 0.1
#: Scale of the second convolution of a branch at the start: small beside its shortcut, but not 0,
#: which would leave the first convolution without gradient.
_BRANCH_SCALE = 0.3


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside the identity, each behind its activation.

    Source: He et al., "Identity mappings in deep residual networks", ECCV 2016, without norms.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        _initialise(self.conv1)
        _initialise(self.conv2, _BRANCH_SCALE)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        branch: Tensor = self.conv2(_activate(self.conv1(_activate(features))))
        return features + branch


class ResidualEncoder(nn.Module):
    """Frames to features, each frame by itself: a stem at full resolution, then strided stages.

    Each stage after the first halves the resolution by a 2 x 2 convolution of stride 2, so that
    features of total stride s are centred at pixel ``(j + 0.5) * s - 0.5``, the middle of the s x s
    pixels that the decoder makes of them.

    Args:
        in_channels: Channels of the input.
        channels: Channels of each stage; stage i has stride ``2**i``.
        blocks: Residual blocks of each stage.
    """

    def __init__(self, in_channels: int, channels: Sequence[int], blocks: Sequence[int]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, channels[0], 3, padding=1)
        _initialise(self.stem)
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in pairwise(channels))
        for convolution in self.down:
            _initialise(convolution)
        self.stages = _residual_stages(channels, blocks)

    def forward(self, planes: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, C, H / s, W / s); s must divide H and W."""
        features: Tensor = self.stages[0](self.stem(planes))
        for down, stage in zip(self.down, list(self.stages)[1:], strict=True):
            features = stage(down(_activate(features)))
        return features


class ResidualDecoder(nn.Module):
    """Features to a picture: the encoder's stages backwards, each doubling the resolution.

    Up-sampling repeats pixels (every output pixel is covered equally often, so there is no
    checkerboard) and the residual blocks behind it smooth the steps.

    Args:
        channels: Channels of each stage of the encoder, finest first.
        blocks: Residual blocks of each stage, finest first.
        out_channels: Channels of the output.
    """

    def __init__(self, channels: Sequence[int], blocks: Sequence[int], out_channels: int = 3) -> None:
        super().__init__()
        self.stages = _residual_stages(channels, blocks)
        self.up = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in pairwise(channels))
        self.head = nn.Conv2d(channels[0], out_channels, 3, padding=1)
        for convolution in (*self.up, self.head):
            _initialise(convolution)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, h, w) to (N, out_channels, h * s, w * s)."""
        features = self.stages[-1](features)
        for up, stage in zip(reversed(self.up), list(self.stages)[-2::-1], strict=True):
            doubled = F.interpolate(up(_activate(features)), scale_factor=2.0, mode="nearest")
            features = stage(doubled)
        out: Tensor = self.head(_activate(features))
        return out


def _residual_stages(channels: Sequence[int], blocks: Sequence[int]) -> nn.ModuleList:
    """Return stages of residual blocks, as many in each as ``blocks`` says."""
    return nn.ModuleList(
        nn.Sequential(*(ResidualBlock(width) for _ in range(count)))
        for width, count in zip(channels, blocks, strict=True)
    )


def _activate(features: Tensor) -> Tensor:
    return F.leaky_relu(features, _SLOPE)


def _initialise(convolution: nn.Module, scale: float = 1.0) -> None:
    """Keep the variance through the activation before the convolution, times ``scale`` squared.

    The weights lie channels last, and so do the features then, which a CPU convolves faster.
    """
    assert isinstance(convolution, nn.Conv2d)
    convolution.weight.data = convolution.weight.data.contiguous(memory_format=torch.channels_last)
    nn.init.kaiming_normal_(convolution.weight, a=_SLOPE)
    assert convolution.bias is not None
    with torch.no_grad():
        convolution.weight *= scale
    nn.init.zeros_(convolution.bias)
