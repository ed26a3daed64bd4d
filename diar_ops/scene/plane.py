"""The plane of the picture: where its pixels lie, and how the cameras see it."""

from __future__ import annotations

import torch
from torch import Tensor

from diar_ops.geometry import homography_from_camera
from diar_ops.scene.types import PlanarScene


def picture_plane(picture_size: Tensor, size: tuple[int, int]) -> Tensor:
    """Return where the pixels of a picture lie in the world, for ``homography_from_camera``.

    Args:
        picture_size: (..., 2) height and width in the world.
        size: (height, width) in pixels.

    Returns:
        (..., 3, 3) whose columns are the steps of one pixel to the right and down, and the centre
        of the top-left pixel.
    """
    step = torch.stack((picture_size[..., 0] / size[0], picture_size[..., 1] / size[1]), dim=-1)
    first = (step - picture_size) / 2
    plane = picture_size.new_zeros(*picture_size.shape[:-1], 3, 3)
    plane[..., 0, 0], plane[..., 1, 1] = step[..., 1], step[..., 0]
    plane[..., 0, 2], plane[..., 1, 2] = first[..., 1], first[..., 0]
    return plane


def scene_homography(scene: PlanarScene) -> Tensor:
    """Return the exact ``homography_frame_label`` (B, T, 3, 3), frame ~ H @ label, H[2, 2] = 1."""
    plane = picture_plane(scene.picture_size, scene.size)[:, None]
    H = homography_from_camera(scene.K, scene.R, scene.t, plane)
    # H[2, 2] is the depth of the label's first pixel, which the cameras' ranges keep in front.
    return H / H[..., 2:, 2:]
