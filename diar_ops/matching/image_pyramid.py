"""Anti-aliased image pyramids with the exact scale of every level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor
from torch.nn import functional as F

from diar_ops._checks import check_floating, check_option, check_shapes, is_finite, is_number, solve_dtype
from diar_ops._errors import ShapeError
from diar_ops._module import OpModule
from diar_ops._types import FeatureMap, children_of_pytree


@children_of_pytree("image")
@dataclass(frozen=True, eq=False)
class PyramidLevel:
    """One level of an image pyramid.

    A pixel ``x`` of the full-resolution image lies at ``(x + 0.5) * scale - 0.5`` in the level.

    Attributes:
        image: (B, C, h, w).
        scale: Exact (x, y) scale ``(w / W, h / H)`` after the size was rounded to whole pixels.
    """

    image: Tensor
    scale: tuple[float, float]


def image_pyramid(
    images: Tensor, *, scales: Sequence[float] = (1.0, 0.7071, 0.5), antialias: bool = True
) -> tuple[PyramidLevel, ...]:
    """Resize images to several scales.

    Args:
        images: (B, C, H, W) floating point.
        scales: Nominal scale of each level, in the order of the output; 1 returns the images
            themselves, above 1 enlarges. A level is never smaller than one pixel.
        antialias: Widen the bilinear kernel where a level shrinks the image, so that detail finer
            than its pixels averages out instead of aliasing.

    Returns:
        One :class:`PyramidLevel` per scale, in the dtype of ``images``.

    Raises:
        ShapeError: ``images`` is not (B, C, H, W) with H, W >= 1.
        DtypeError: ``images`` is not floating point.
        OptionError: ``scales`` is empty or holds anything but positive finite numbers.
    """
    sizes = check_shapes("image_pyramid", images=(images, "B C H W"))
    check_floating("image_pyramid", images=images)
    fits = isinstance(scales, Sequence) and len(scales) > 0
    check_option("image_pyramid", fits, "at least one scale in scales", scales)
    for scale in scales:
        check_option("image_pyramid", is_finite(scale) and scale > 0, "positive finite scales", scale)
    height, width = sizes["H"], sizes["W"]
    if height == 0 or width == 0:
        raise ShapeError(f"image_pyramid: images must have at least one pixel, got {list(images.shape)}")
    levels = []
    for scale in scales:
        h, w = max(1, round(height * scale)), max(1, round(width * scale))
        levels.append(PyramidLevel(_resize(images, h, w, antialias), (w / width, h / height)))
    return tuple(levels)


def _resize(images: Tensor, height: int, width: int, antialias: bool) -> Tensor:
    if images.shape[-2:] == (height, width):
        return images
    if images.shape[0] * images.shape[1] == 0:  # which interpolate refuses
        return images.new_zeros(*images.shape[:2], height, width)
    resized = F.interpolate(
        images.to(solve_dtype(images.dtype)),
        size=(height, width),
        mode="bilinear",
        align_corners=False,
        antialias=antialias,
    )
    return resized.to(images.dtype)


def level_features(features: FeatureMap, *, scale: tuple[float, float]) -> FeatureMap:
    """Give the cells of a feature map, computed on a pyramid level, their full-resolution place.

    Args:
        features: Feature map whose stride and offset are in pixels of the level.
        scale: The level's exact (x, y) scale, :attr:`PyramidLevel.scale`.

    Returns:
        The same descriptors and mask with stride and offset in full-resolution pixels, where the
        level's ``x`` lies at ``(x + 0.5) / scale - 0.5``.

    Raises:
        ShapeError: The descriptors are not (B, C, h, w) or the mask is not (B, h, w).
        OptionError: A scale is not a positive finite number.
    """
    check_shapes("level_features", descriptors=(features.descriptors, "B C h w"), valid=(features.valid, "? B h w"))
    check_option("level_features", isinstance(scale, Sequence) and len(scale) == 2, "the scale as (x, y)", scale)
    for s in scale:
        check_option("level_features", is_number(s) and is_finite(s) and s > 0, "a positive finite scale (x, y)", scale)
    stride, offset = features.stride, features.offset
    return replace(
        features,
        stride=(stride[0] / scale[0], stride[1] / scale[1]),
        offset=((offset[0] + 0.5) / scale[0] - 0.5, (offset[1] + 0.5) / scale[1] - 0.5),
    )


class ImagePyramid(OpModule):
    """See :func:`image_pyramid`."""

    def __init__(self, *, scales: Sequence[float] = (1.0, 0.7071, 0.5), antialias: bool = True) -> None:
        super().__init__()
        self.scales = tuple(scales)
        self.antialias = antialias

    def forward(self, images: Tensor) -> tuple[PyramidLevel, ...]:
        """See :func:`image_pyramid`."""
        return image_pyramid(images, scales=self.scales, antialias=self.antialias)
