"""Flags of the pixels of a rendered frame, and the shares of a frame that they spoil."""

from __future__ import annotations

from enum import IntFlag
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._checks import check_bool, check_shapes
from diar_ops.geometry import transform_points

#: In shadow is what gets less diffuse light than this share of what it would get with nothing in
#: the way: the eye sees the loss of a quarter clearly, and it is above the noise of 16 samples.
SHADOW = 0.75


#: A highlight adds at least this radiance (white paper in label light has 1): it lifts a mid grey
#: by 25 of 255 levels.
HIGHLIGHT = 0.1


#: Clipped is what has a channel of at least this level of 255.
SATURATED = 254


class FrameFlag(IntFlag):
    """Effects of light on a pixel of the picture; a pixel may have several."""

    SHADOW = 1  #: gets less than :data:`SHADOW` of the light that could fall on it
    HIGHLIGHT = 2  #: specular reflection, with that of a pane, adds more than :data:`HIGHLIGHT` of radiance
    SATURATED = 4  #: a channel is at least :data:`SATURATED`


class FrameShares(NamedTuple):
    """Shares of a frame that are spoiled; all in [0, 1].

    Attributes:
        visible: Share of the picture that lies within the frame, covered or not.
        occluded: Share of the frame's pixels of the picture with something in front.
        shadow: Share of them in shadow.
        highlight: Share of them in a highlight.
        saturated: Share of them that is clipped.
    """

    visible: float
    occluded: float
    shadow: float
    highlight: float
    saturated: float


def frame_shares(
    homography_frame_label: Tensor, occluded: Tensor, flags: Tensor | None = None, *, label_size: tuple[int, int]
) -> FrameShares:
    """Measure how much of a frame is spoiled, and by what.

    Args:
        homography_frame_label: (3, 3), frame ~ H @ label.
        occluded: (1, H, W) bool, True where something is in front.
        flags: (1, H, W) uint8, sums of :class:`FrameFlag`; none set by default.
        label_size: (height, width) of the label, in pixels.

    Returns:
        The :class:`FrameShares`; 0 where the frame shows nothing of the picture.

    Raises:
        ShapeError: A shape is not as stated.
        DtypeError: ``occluded`` is not bool.
    """
    op = "frame_shares"
    check_shapes(
        op,
        homography_frame_label=(homography_frame_label, "3 3"),
        occluded=(occluded, "1 H W"),
        flags=(flags, "? 1 H W"),
    )
    check_bool(op, occluded=occluded)
    H = homography_frame_label.double()
    frame_size = (occluded.shape[-2], occluded.shape[-1])
    # The label's centre is in front of the camera; so tell both directions which side that is.
    centre = (H.new_tensor([[label_size[1], label_size[0]]]) - 1) / 2
    visible = _projects_inside(H, label_size, frame_size, centre)
    projected = transform_points(centre, H, centre[0]).points
    shown = _projects_inside(torch.linalg.inv(H), frame_size, label_size, projected)
    count = max(1, int(shown.sum()))

    def share(mask: Tensor) -> float:
        return round(int((mask[0] & shown).sum()) / count, 6)

    flags = torch.zeros_like(occluded, dtype=torch.uint8) if flags is None else flags
    by_flag = [share((flags & int(flag)) > 0) for flag in FrameFlag]
    return FrameShares(round(float(visible.double().mean()), 6), share(occluded), *by_flag)


def _projects_inside(homography_dst_src: Tensor, src: tuple[int, int], dst: tuple[int, int], front: Tensor) -> Tensor:
    """Return for each of (h, w) source pixels whether its centre is seen in the destination."""
    y, x = torch.meshgrid(*(torch.arange(s, dtype=torch.float64) for s in src), indexing="ij")
    grid = torch.stack((x, y), dim=-1).reshape(1, -1, 2).to(homography_dst_src.device)
    points, in_front = transform_points(grid, homography_dst_src[None], front)
    limit = points.new_tensor([dst[1], dst[0]]) - 0.5
    return (in_front & (points >= -0.5).all(-1) & (points <= limit).all(-1)).reshape(src)
