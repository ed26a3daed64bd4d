"""Dense SIFT: the descriptor that needs no weights."""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from diar_ops._checks import (
    check_floating,
    check_option,
    check_shapes,
    full_precision,
    is_exporting,
    is_integer,
    is_number,
    solve_dtype,
)
from diar_ops._module import OpModule
from diar_ops._pixels import image_gradient
from diar_ops.matching._texture import grey

#: Mean gradient (intensity per pixel) below which a window holds rounding errors, not texture:
#: a hundredth of one level of an 8-bit image.
_ROUNDING = 0.01 / 255
#: Keeps the derivative of the square root finite in empty bins.
_SQRT_EPS = 1e-10


@full_precision
def dense_sift(
    images: Tensor,
    *,
    stride: int = 4,
    bin_size: int = 4,
    spatial_bins: int = 4,
    angular_bins: int = 8,
    clip: float = 0.2,
    root: bool = True,
) -> Tensor:
    """Describe a regular grid of square windows by their gradient histograms (SIFT, upright).

    The values are those of ``kornia.feature.DenseSIFTDescriptor`` (the same layout, angle-major:
    channel ``(angle * spatial_bins + row) * spatial_bins + column``). Histograms are pooled
    separably and only where a cell needs them, which saves most of the time and memory.

    A window is ``bin_size * spatial_bins`` pixels wide. Only windows inside the image are
    described: cell ``(i, j)`` is centred at pixel ``(c + stride * j, c + stride * i)`` with
    ``c = (bin_size * spatial_bins - 1) / 2``. An image smaller than a window gives a map without
    cells.

    Args:
        images: (B, 3, H, W) RGB or (B, 1, H, W) grey, floating point in [0, 1].
        stride: Distance of neighbouring cells, in pixels.
        bin_size: Side of one spatial bin, in pixels.
        spatial_bins: Bins along each side of the window.
        angular_bins: Orientations per spatial bin.
        clip: Upper limit of an entry after the first normalisation.
        root: Return the square roots of the L1-normalised entries (RootSIFT), so that the scalar
            product compares histograms by the Hellinger kernel.

    Returns:
        (B, angular_bins * spatial_bins ** 2, h, w), of unit length over the channels. A window
        without texture, or with a pixel that is not finite, has the zero descriptor.

    Raises:
        ShapeError: ``images`` has another rank, or neither 1 nor 3 channels.
        OptionError: An option is out of range.

    Sources: Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 2004,
    section 6; Arandjelovic and Zisserman, "Three things everyone should know to improve object
    retrieval", CVPR 2012 (RootSIFT).
    """
    op = "dense_sift"
    check_shapes(op, images=(images, "B C H W"))
    check_floating(op, images=images)
    check_option(op, images.shape[1] in (1, 3), "1 or 3 channels in images", images.shape[1])
    for name, value in (("stride", stride), ("bin_size", bin_size)):
        check_option(op, is_integer(value) and value >= 1, f"{name} >= 1 pixel", value)
    check_option(op, is_integer(spatial_bins) and spatial_bins >= 1, "spatial_bins >= 1", spatial_bins)
    check_option(op, is_integer(angular_bins) and angular_bins >= 3, "angular_bins >= 3", angular_bins)
    check_option(op, is_number(clip) and clip > 0, "clip > 0", clip)

    dtype = images.dtype
    images = images.to(solve_dtype(dtype))
    channels = angular_bins * spatial_bins**2
    window = bin_size * spatial_bins
    if min(images.shape[-2:]) < window:
        size = (max(0, (side - window) // stride + 1) for side in images.shape[-2:])
        return images.new_zeros(images.shape[0], channels, *size).to(dtype)

    known = images.isfinite().all(dim=1, keepdim=True)
    histograms = _orientation_histograms(torch.where(known, grey(images), 0.0), angular_bins)

    # Bins start every bin_size pixels, windows every stride pixels: pool on the common grid only.
    step, rest = stride, bin_size
    while rest:  # math.gcd takes no symbols
        step, rest = rest, step % rest
    pooled = _pool_bins(_pool_bins(histograms, bin_size, step, 2), bin_size, step, 3)
    cells = _gather_windows(pooled, bin_size // step, stride // step, spatial_bins)  # [B, D, h, w]

    # The gradients beside an unknown pixel are unknown as well.
    unknown = F.max_pool2d((~known).to(cells.dtype), 3, 1, 1)
    missing = F.max_pool2d(unknown, window, stride) > 0  # [B, 1, h, w]
    # The pooling weights of one bin sum to about bin_size ** 2 / 4.
    total = cells.detach().sum(dim=1, keepdim=True)
    textured = (total > _ROUNDING * window**2 / 4) & ~missing

    cells = torch.where(textured, cells, 0.0)
    cells = F.normalize(cells, dim=1, eps=_SQRT_EPS).clamp_max(clip)
    if root:
        cells = (F.normalize(cells, p=1.0, dim=1, eps=_SQRT_EPS) + _SQRT_EPS).sqrt()
    cells = F.normalize(cells, dim=1, eps=_SQRT_EPS)
    return torch.where(textured, cells, 0.0).to(dtype)


def _orientation_histograms(images: Tensor, bins: int) -> Tensor:
    """Split each pixel's gradient between the two nearest of ``bins`` orientations: (B, A, H, W).

    Orientation 0 points along +x, the next ones turn towards +y (downwards).
    """
    dx, dy = image_gradient(images)
    # A zero gradient has no direction: keep its infinite derivatives out of the graph.
    flat = (dx == 0) & (dy == 0)
    dx = torch.where(flat, 1.0, dx)
    # hypot is correctly rounded, but unknown to ONNX.
    length = (dx.square() + dy.square()).sqrt() if is_exporting() else torch.hypot(dx, dy)
    magnitude = torch.where(flat, 0.0, length)
    angle = torch.atan2(dy, dx) * (bins / (2 * math.pi))
    lower = angle.floor()
    share = angle - lower
    lower_bin = lower.detach().long() % bins
    upper_bin = (lower_bin + 1) % bins
    # The two bins of a pixel differ, so no write depends on the order of writing.
    empty = images.new_zeros(images.shape[0], bins, *images.shape[-2:])
    lower_part = empty.scatter(1, lower_bin, magnitude * (1 - share))
    return lower_part.scatter(1, upper_bin, magnitude * share)


def _pool_bins(maps: Tensor, bin_size: int, step: int, dim: int) -> Tensor:
    """Sum windows of ``bin_size`` with a triangular weight along ``dim``, every ``step`` pixels."""
    count = (maps.shape[dim] - bin_size) // step + 1
    pooled = None
    for k in range(bin_size):
        weight = 1 - abs(k + 0.5 - bin_size / 2) / (bin_size / 2)
        end = k + (count - 1) * step + 1
        part = (maps[:, :, k:end:step] if dim == 2 else maps[..., k:end:step]) * weight
        pooled = part if pooled is None else pooled + part
    return cast(Tensor, pooled)


def _gather_windows(pooled: Tensor, bin_pitch: int, cell_pitch: int, bins: int) -> Tensor:
    """Stack the ``bins`` x ``bins`` pooled values of every window: (B, A * bins ** 2, h, w)."""
    height, width = ((side - 1 - (bins - 1) * bin_pitch) // cell_pitch + 1 for side in pooled.shape[-2:])
    rows = [
        pooled[:, :, i * bin_pitch : i * bin_pitch + (height - 1) * cell_pitch + 1 : cell_pitch] for i in range(bins)
    ]
    parts = [
        row[..., j * bin_pitch : j * bin_pitch + (width - 1) * cell_pitch + 1 : cell_pitch]
        for row in rows
        for j in range(bins)
    ]
    return torch.stack(parts, dim=2).flatten(1, 2)  # [B, A, bins ** 2, h, w] -> [B, D, h, w]


class DenseSIFT(OpModule):
    """A trunk for :func:`dense_descriptors` that needs no weights. See :func:`dense_sift`.

    Attributes:
        stride: Distance of neighbouring cells, in pixels.
        offset: Position of cell (0, 0) along x and along y, in pixels.
        window: Side of the square that a cell describes, in pixels, with the pixel around it that
            its gradients touch.
    """

    def __init__(
        self,
        *,
        stride: int = 4,
        bin_size: int = 4,
        spatial_bins: int = 4,
        angular_bins: int = 8,
        clip: float = 0.2,
        root: bool = True,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.bin_size = bin_size
        self.spatial_bins = spatial_bins
        self.angular_bins = angular_bins
        self.clip = clip
        self.root = root
        self.window = bin_size * spatial_bins + 2
        self.offset = (bin_size * spatial_bins - 1) / 2

    def forward(self, images: Tensor) -> Tensor:
        """Return the descriptors, (B, D, h, w)."""
        return dense_sift(
            images,
            stride=self.stride,
            bin_size=self.bin_size,
            spatial_bins=self.spatial_bins,
            angular_bins=self.angular_bins,
            clip=self.clip,
            root=self.root,
        )
