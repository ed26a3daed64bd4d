"""Crop label and frames of a sequence so that homographies stay exact."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from diar_ops.geometry import transform_points

Corner = tuple[int, int]


def frame_corners(
    homography_frame_label: Tensor,
    label_corner: Corner,
    size: tuple[int, int],
    *,
    label_size: tuple[int, int],
    frame_sizes: Sequence[tuple[int, int]],
) -> list[Corner]:
    """Return where to crop each frame so that it shows the middle of the label's crop.

    Args:
        homography_frame_label: (T, 3, 3) float64, frame ~ H @ label.
        label_corner: (y, x) of the first pixel of the label's crop.
        size: (height, width) of all crops.
        label_size: (height, width) of the label.
        frame_sizes: (height, width) of each frame, at least ``size``.

    Returns:
        For each frame (y, x) of the first pixel of its crop: the projected middle of the label's
        crop is in its middle, up to half a pixel, unless the crop would leave the frame. Where H
        is the identity, it is ``label_corner``.
    """
    half = torch.tensor([size[1], size[0]], dtype=torch.float64).sub(1).div(2)
    middle = torch.tensor([label_corner[1], label_corner[0]], dtype=torch.float64) + half
    centre = torch.tensor([label_size[1], label_size[0]], dtype=torch.float64).sub(1).div(2)
    projected, in_front = transform_points(middle[None], homography_frame_label, centre)
    corners = []
    for (x, y), visible, frame_size in zip(
        (projected[:, 0] - half).round().tolist(), in_front[:, 0].tolist(), frame_sizes, strict=True
    ):
        room = (frame_size[0] - size[0], frame_size[1] - size[1])
        y, x = (y, x) if visible else (room[0] // 2, room[1] // 2)
        corners.append((int(min(max(y, 0), room[0])), int(min(max(x, 0), room[1]))))
    return corners


def crop_homography(homography_frame_label: Tensor, label_corner: Corner, corners: Sequence[Corner]) -> Tensor:
    """Return the homographies between crops.

    Args:
        homography_frame_label: (T, 3, 3), frame ~ H @ label.
        label_corner: (y, x) of the first pixel of the label's crop.
        corners: The same for each frame.

    Returns:
        (T, 3, 3), crop of the frame ~ H @ crop of the label, scaled so that ``|H[2, 2]|`` is 1
        where it is not 0. A crop at the same place of an identity is exactly the identity.
    """
    H = homography_frame_label
    to_label = torch.eye(3, dtype=H.dtype).repeat(len(H), 1, 1)
    to_label[:, :2, 2] = torch.tensor(label_corner[::-1], dtype=H.dtype)
    from_frame = torch.eye(3, dtype=H.dtype).repeat(len(H), 1, 1)
    from_frame[:, :2, 2] = -torch.tensor(corners, dtype=H.dtype).flip(-1)
    H = from_frame @ H @ to_label
    scale = H[:, 2, 2].abs()
    return H / torch.where(scale > 0, scale, 1)[:, None, None]


def crop_image(image: Tensor, corner: Corner, size: tuple[int, int] | None) -> Tensor:
    """Return the crop (C, height, width) of an image (C, H, W); all of it if ``size`` is None."""
    if size is None:
        return image
    (y, x), (height, width) = corner, size
    return image[:, y : y + height, x : x + width]
