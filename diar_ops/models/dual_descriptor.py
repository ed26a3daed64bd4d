"""A small network that describes images twice: coarsely to find matches, finely to place them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diar_ops._checks import check_floating, check_option, check_shapes, solve_dtype
from diar_ops.models._inputs import network_dtype
from diar_ops.models._options import MOST_BLOCKS, MOST_CHANNELS, is_integer, is_integer_tuple
from diar_ops.models._pretrained.hub import Pretrained

#: Stride of the deepest features, which whole strides of all others fit into.
_DEEPEST = 16
#: The neighbourhood whose mean and contrast are taken out of the image: so many blocks of so many
#: pixels along each side.
_BLOCKS, _BLOCK = 5, 8
#: Contrast that counts as low, as a standard deviation: five levels of an 8-bit image.
_LOW_CONTRAST = 0.02
#: What the statistics of a batch count in their running mean: batches of few pictures differ much.
_MOMENTUM = 0.01


@dataclass(frozen=True)
class DualDescriptorConfig:
    """Sizes of :class:`DualDescriptor`.

    Attributes:
        widths: Channels of the features of stride 2, 4, 8 and 16.
        blocks: Residual blocks at stride 4, 8 and 16.
        coarse: Channels of the coarse descriptors.
        fine: Channels of the fine descriptors.
        fine_width: Channels of the features that they are made of.

    Raises:
        OptionError: A field is not as stated.
    """

    widths: tuple[int, int, int, int] = (16, 32, 96, 128)
    blocks: tuple[int, int, int] = (1, 2, 2)
    coarse: int = 128
    fine: int = 32
    fine_width: int = 24

    def __post_init__(self) -> None:
        op = type(self).__name__
        for name, count, least, most in (("widths", 4, 1, MOST_CHANNELS), ("blocks", 3, 0, MOST_BLOCKS)):
            value = getattr(self, name)
            fits = is_integer_tuple(value, least=least, most=most, length=count)
            check_option(op, fits, f"{name}: {count} integers of at least {least}, at most {most}", value)
        for name in ("coarse", "fine", "fine_width"):
            value = getattr(self, name)
            check_option(op, is_integer(value, most=MOST_CHANNELS), f"a positive {name} up to {MOST_CHANNELS}", value)


class DualDescriptor(Pretrained):
    """A trunk for :func:`dense_descriptors` with stages to find matches by, and to place them.

    An image is first freed of its light: the mean of a neighbourhood of 40 pixels is taken off each
    channel, and its contrast divided out. Strided convolutions then lead down to stride 16, for
    context, and interpolation back up to stride 8, where the *coarse* descriptors are made, and to
    stride 2, where the *fine* ones are. The *middle* ones are means of 2 x 2 fine ones, for a
    search that reaches twice as far.

    Every kernel is centred on the cells of its output, so that cell ``j`` of a stage of stride
    ``s`` is centred at pixel ``(j + 0.5) * s - 0.5`` exactly. Cells are those whose centre lies in
    the image: (H + s / 2) // s rows of them.

    The parameters are random until weights are loaded; :func:`load_pretrained` returns a trained
    one. In training mode batch norms use the statistics of the batch.

    Args:
        config: Sizes; the default ones if ``None``.

    Attributes:
        stride: Distance of neighbouring cells of each stage, in pixels.
        offset: Position of cell (0, 0) of each stage along x and along y, in pixels.
        window: Side of the square whose texture decides whether a cell is valid, in pixels.

    Example:
        >>> trunk = DualDescriptor().eval()
        >>> maps = trunk(torch.zeros(1, 3, 64, 96))
        >>> {stage: tuple(features.shape) for stage, features in maps.items()}
        {'coarse': (1, 128, 8, 12), 'middle': (1, 32, 16, 24), 'fine': (1, 32, 32, 48)}
    """

    stride = {"coarse": 8, "middle": 4, "fine": 2}  # noqa: RUF012 - read by dense_descriptors
    offset = {"coarse": 3.5, "middle": 1.5, "fine": 0.5}  # noqa: RUF012
    window = {"coarse": 24, "middle": 12, "fine": 10}  # noqa: RUF012
    selects_stages = True
    config_type = DualDescriptorConfig

    def __init__(self, config: DualDescriptorConfig | None = None) -> None:
        super().__init__()
        self.config = config = DualDescriptorConfig() if config is None else config
        check_option("DualDescriptor", isinstance(config, DualDescriptorConfig), "its config", config)
        half, quarter, eighth, deep = config.widths
        self.stem = nn.Sequential(_layer(3, half, kernel=4, stride=2), _layer(half, half))
        self.down4 = _down(half, quarter, config.blocks[0])
        self.down8 = _down(quarter, eighth, config.blocks[1])
        self.down16 = _down(eighth, deep, config.blocks[2])
        self.context = nn.Conv2d(deep, eighth, 1)
        self.merge8 = _Block(eighth)
        self.coarse = nn.Conv2d(eighth, config.coarse, 1)
        self.inner = nn.Conv2d(eighth, quarter, 1)
        self.merge4 = _layer(quarter, config.fine_width)
        self.outer = nn.Conv2d(half, config.fine_width, 1)
        self.merge2 = _layer(config.fine_width, config.fine_width)
        self.fine = nn.Conv2d(config.fine_width, config.fine, 1)

    def forward(self, images: Tensor, stages: Sequence[str] = ("coarse", "middle", "fine")) -> dict[str, Tensor]:
        """Return the maps of ``stages``; what none of them needs is not computed.

        Args:
            images: (B, 3, H, W) floating point, RGB in [0, 1].
            stages: Stages among ``"coarse"``, ``"middle"`` and ``"fine"``.

        Returns:
            Each stage's map (B, C, h, w), not normalised, in the dtype of ``images``; computed in
            the parameters'.

        Raises:
            ShapeError: ``images`` is not (B, 3, H, W).
            DtypeError: ``images`` is not floating point.
            OptionError: A stage does not exist.
        """
        check_shapes("DualDescriptor", images=(images, "B 3 H W"))
        check_floating("DualDescriptor", images=images)
        for stage in stages:
            known = stage in self.stride
            check_option("DualDescriptor", known, f"stages among {list(self.stride)}", stage)
        (height, width), dtype = images.shape[-2:], images.dtype
        if images.numel() == 0:
            return {stage: self._empty_map(images, stage) for stage in stages}
        # Reflection needs two cells on the deepest stage.
        right, below = (max(2 * _DEEPEST - n, -n % _DEEPEST) for n in (width, height))
        # The contrast is a difference of squares, for which half precision has too few digits.
        images = F.pad(images.to(solve_dtype(dtype)), (0, right, 0, below), mode="replicate")
        images = _normalize_light(images).to(network_dtype(self), memory_format=torch.channels_last)

        half = self.stem(images)
        quarter = self.down4(half)
        eighth = self.down8(quarter)
        eighth = self.merge8(eighth + _upsample(self.context(self.down16(eighth))))
        maps = {}
        if "coarse" in stages:
            maps["coarse"] = self.coarse(eighth)
        if "middle" in stages or "fine" in stages:
            quarter = self.merge4(quarter + _upsample(self.inner(eighth)))
            fine = self.fine(self.merge2(self.outer(half) + _upsample(quarter)))
            maps["fine"] = fine
            maps["middle"] = F.avg_pool2d(fine, 2) if "middle" in stages else fine
        return {
            stage: maps[stage][..., : self._cell_count(height, stage), : self._cell_count(width, stage)].to(dtype)
            for stage in stages
        }

    def _cell_count(self, side: int, stage: str) -> int:
        """Return the number of cells along a side of an image, in pixels."""
        stride = self.stride[stage]
        return (side + stride // 2) // stride

    def _empty_map(self, images: Tensor, stage: str) -> Tensor:
        """Return the map of images without pixels, or of none."""
        channels = self.config.coarse if stage == "coarse" else self.config.fine
        size = (self._cell_count(side, stage) for side in images.shape[-2:])
        return images.new_zeros(images.shape[0], channels, *size)


class _Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _layer(channels, channels)
        self.second = _layer(channels, channels, relu=False)

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(features + self.second(self.first(features)))


def _layer(channels: int, width: int, *, kernel: int = 3, stride: int = 1, relu: bool = True) -> nn.Sequential:
    """Return a convolution whose outputs are centred between the pixels that it strides over."""
    convolution = nn.Conv2d(
        channels,
        width,
        kernel,
        stride=stride,
        padding=(kernel - stride + 1) // 2,
        bias=False,
        # Zeros would tell cells where in the image they lie: unrelated photos, noise even, match
        # by that, each cell with the one in its own place.
        padding_mode="reflect",
    )
    norm = nn.BatchNorm2d(width, momentum=_MOMENTUM)
    return nn.Sequential(convolution, norm, *([nn.ReLU()] if relu else []))


def _down(channels: int, width: int, blocks: int) -> nn.Sequential:
    """Return layers that halve the resolution."""
    return nn.Sequential(_layer(channels, width, kernel=2, stride=2), *(_Block(width) for _ in range(blocks)))


def _upsample(features: Tensor) -> Tensor:
    return F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)


def _normalize_light(images: Tensor) -> Tensor:
    """Take off the mean of each channel's neighbourhood, and divide by the contrast there."""

    def neighbourhood_mean(blocks: Tensor) -> Tensor:
        return F.avg_pool2d(blocks, _BLOCKS, 1, _BLOCKS // 2, count_include_pad=False)

    mean = neighbourhood_mean(F.avg_pool2d(images, _BLOCK))
    # One contrast for all channels, or a grey picture's colours would be as strong as its lines.
    square = neighbourhood_mean(F.avg_pool2d(images.square().mean(dim=1, keepdim=True), _BLOCK))
    variance = (square - mean.square().mean(dim=1, keepdim=True)).clamp_min(0)
    both = torch.cat((mean, (variance + _LOW_CONTRAST**2).rsqrt()), dim=1)
    both = F.interpolate(both, scale_factor=_BLOCK, mode="bilinear", align_corners=False)
    return (images - both[:, :3]) * both[:, 3:]
