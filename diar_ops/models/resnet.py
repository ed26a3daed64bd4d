"""The first three stages of a ResNet, with torchvision's parameter names, as a dense trunk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diar_ops._checks import check_floating, check_option, check_shapes
from diar_ops.models._inputs import network_dtype


class Architecture(NamedTuple):
    """Sizes of a ResNet, up to its third stage."""

    #: Residual blocks in layer1, layer2, layer3.
    blocks: tuple[int, int, int]
    #: Blocks of three convolutions that widen fourfold, instead of two.
    bottleneck: bool
    #: Side in pixels of the uniform square as wide (in standard deviation) as the influence of the
    #: pixels on one cell of stages 0 to 3, measured on ImageNet weights (18) or random ones.
    windows: tuple[float, float, float, float]


ARCHITECTURES = {
    "resnet18": Architecture((2, 2, 2), False, (7.0, 22.0, 42.0, 96.0)),
    "resnet34": Architecture((3, 4, 6), False, (7.0, 20.0, 40.0, 89.0)),
    "resnet50": Architecture((3, 4, 6), True, (7.0, 13.0, 18.0, 37.0)),
}

#: Mean and standard deviation of ImageNet's RGB in [0, 1], by which torchvision normalises.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


class ResNetTrunk(nn.Module):
    """Stem and first three stages of ResNet-18, 34 or 50, for :func:`dense_descriptors`.

    Stage 0 is the stem (convolution, norm, ReLU; before the max pooling), of stride 2; stages 1, 2
    and 3 are torchvision's ``layer1``, ``layer2`` and ``layer3``, of stride 4, 8 and 16. Every
    kernel has an odd side and is padded by half of it, so the receptive field of cell ``j`` of a
    stage of stride ``s`` is centred at pixel ``j * s`` exactly, and the default offsets are 0.
    Training moves what a cell sees away from there (see :func:`load_pretrained`, which states
    where); set ``offset`` for weights of your own.

    The state dict has torchvision's keys, without ``layer4`` and ``fc``. The parameters are random
    until weights are loaded; :func:`load_pretrained` returns a trunk with weights.

    Args:
        architecture: ``"resnet18"``, ``"resnet34"`` or ``"resnet50"`` (with the stride in the
            3 x 3 convolution, as in torchvision).
        offset: Position of cell (0, 0) of stages 0 to 3 along x and along y, in pixels.

    Attributes:
        stride: Distance of neighbouring cells of each stage, in pixels.
        window: Side of the square that decides the features of a cell of each stage, in pixels.

    Source: He et al., "Deep residual learning for image recognition", CVPR 2016.

    Example:
        >>> trunk = ResNetTrunk("resnet18").eval()
        >>> maps = trunk(torch.zeros(1, 3, 64, 96), stages=(1, 2))
        >>> {stage: tuple(features.shape) for stage, features in maps.items()}
        {1: (1, 64, 16, 24), 2: (1, 128, 8, 12)}
    """

    stride = (2, 4, 8, 16)
    selects_stages = True

    def __init__(
        self, architecture: str = "resnet18", *, offset: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    ) -> None:
        super().__init__()
        check_option(
            "ResNetTrunk", architecture in ARCHITECTURES, f"an architecture among {list(ARCHITECTURES)}", architecture
        )
        blocks, bottleneck, self.window = ARCHITECTURES[architecture]
        check_option("ResNetTrunk", len(offset) == 4, "one offset for each of 4 stages", offset)
        self.architecture = architecture
        self.offset = offset
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        channels = 64
        for index, count in enumerate(blocks):
            layer = nn.Sequential()
            for number in range(count):
                stride = 2 if index > 0 and number == 0 else 1
                block = _Block(channels, 64 * 2**index, stride, bottleneck)
                layer.append(block)
                channels = block.out_channels
            self.add_module(f"layer{index + 1}", layer)
        self.register_buffer("mean", torch.tensor(_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor, stages: Sequence[int] = (0, 1, 2, 3)) -> dict[int, Tensor]:
        """Return the maps of ``stages``; nothing deeper than the deepest of them is computed.

        Args:
            images: (B, 3, H, W) floating point, RGB in [0, 1].
            stages: Stages among 0, 1, 2, 3.

        Returns:
            Each stage's map (B, C, ceil(H / s), ceil(W / s)), s being its stride, in the dtype of
            ``images``; computed in the parameters'.

        Raises:
            ShapeError: ``images`` is not (B, 3, H, W).
            DtypeError: ``images`` is not floating point.
            OptionError: A stage does not exist.
        """
        check_shapes("ResNetTrunk", images=(images, "B 3 H W"))
        check_floating("ResNetTrunk", images=images)
        for stage in stages:
            check_option("ResNetTrunk", stage in range(4), "stages among [0, 1, 2, 3]", stage)
        features = images.to(network_dtype(self))
        features = (features - cast(Tensor, self.mean)) / cast(Tensor, self.std)
        features = F.relu(self.bn1(self.conv1(features)))
        maps = {0: features}
        for stage in range(1, max(stages, default=0) + 1):
            if stage == 1:
                features = F.max_pool2d(features, 3, stride=2, padding=1)
            features = self.get_submodule(f"layer{stage}")(features)
            maps[stage] = features
        return {stage: maps[stage].to(images.dtype) for stage in stages}

    def extra_repr(self) -> str:
        """Return the options."""
        return f"architecture={self.architecture}, offset={self.offset}"


class _Block(nn.Module):
    """Convolutions beside a shortcut: two 3 x 3 ones, or, as a bottleneck, 1 x 1, 3 x 3, 1 x 1.

    The output of a bottleneck is four times as wide as its layers.
    """

    def __init__(self, channels: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        self.bottleneck, self.out_channels = bottleneck, width * (4 if bottleneck else 1)
        if bottleneck:
            self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(width)
            self.conv3 = nn.Conv2d(width, self.out_channels, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(self.out_channels)
        else:
            self.conv1 = nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(width)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels != self.out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, self.out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(self.out_channels)
            )

    def forward(self, features: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(features)))))
        if self.bottleneck:
            out = self.bn3(self.conv3(F.relu(out)))
        shortcut = features if self.downsample is None else self.downsample(features)
        return F.relu(out + shortcut)
