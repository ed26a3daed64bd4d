"""Checks of the arguments that refine_homography and refine_grid share."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from diar_ops._checks import check_bool, check_broadcast, check_floating, check_option, check_shapes, is_integer
from diar_ops._errors import OptionError, ShapeError
from diar_ops.geometry._refine.blocks import BLOCK
from diar_ops.geometry._refine.pyramid import Features
from diar_ops.geometry.contrast import local_contrast


def batch_of(op: str, image_src: Tensor, image_dst: Tensor, homography: Tensor) -> int:
    """Return the batch size that all tensors broadcast to."""
    batches = {"image_src": image_src, "image_dst": image_dst, "homography_dst_src": homography}
    (batch,) = check_broadcast(op, **{name: tensor.shape[:1] for name, tensor in batches.items()})
    return batch


def check_pair(
    op: str,
    image_src: Tensor,
    image_dst: Tensor,
    homography: Tensor,
    valid_src: Tensor | None,
    valid_dst: Tensor | None,
) -> None:
    """Check two batches of images, their masks and the homographies between them."""
    check_shapes(
        op,
        image_src=(image_src, "N C H W"),
        image_dst=(image_dst, "M C h w"),
        homography_dst_src=(homography, "B 3 3"),
        valid_src=(valid_src, "? N 1 H W"),
        valid_dst=(valid_dst, "? M 1 h w"),
    )
    check_floating(op, image_src=image_src, image_dst=image_dst, homography_dst_src=homography)
    check_bool(op, valid_src=valid_src, valid_dst=valid_dst)
    batch_of(op, image_src, image_dst, homography)
    for name, image in (("image_src", image_src), ("image_dst", image_dst)):
        if image.shape[-2] < 3 * BLOCK or image.shape[-1] < 3 * BLOCK:
            raise ShapeError(
                f"{op}: {name} must have at least {3 * BLOCK} x {3 * BLOCK} pixels, got {list(image.shape)}"
            )


def check_levels(op: str, image_src: Tensor, image_dst: Tensor, levels: int | None) -> None:
    """Check that ``levels`` leave something of the images."""
    check_option(op, levels is None or (is_integer(levels) and levels >= 1), "levels >= 1", levels)
    if levels is not None:
        least = BLOCK << (levels - 1)
        sides = (*image_src.shape[-2:], *image_dst.shape[-2:])
        if any(side < least for side in sides):  # symbolic sizes cannot be printed
            raise OptionError(f"{op}: expected levels that leave {BLOCK} pixels of {min(sides)}, got {levels}")


def describer(op: str, features: Features | Literal["images"] | None) -> Features:
    """Return what maps images to features."""
    fits = features is None or callable(features) or features == "images"
    check_option(op, fits, 'features to be a callable, "images" or None', features)
    return local_contrast if features is None else _as_they_are if isinstance(features, str) else features


def _as_they_are(image: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    return image, valid
