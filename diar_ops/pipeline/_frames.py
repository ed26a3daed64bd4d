"""What both halves of the pipeline do with frames: check them, cut them, shrink them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from diar_ops._checks import check_bool, check_option, check_shapes
from diar_ops._errors import DtypeError, ShapeError
from diar_ops._pixels import FULL_SCALE, image_size, resize_matrix, shrink, shrink_valid
from diar_ops.geometry import warp_homography
from diar_ops.pipeline._lens import straight_border

__all__ = [
    "Frames",
    "Photo",
    "WorkingCopy",
    "check_frames",
    "hide_invalid",
    "smaller_copy",
    "working_copy",
]

#: Frames of one sequence: a tensor (T, 3, H, W), or T tensors (3, H, W) of any sizes.
Frames: TypeAlias = Tensor | Sequence[Tensor]


def check_frames(op: str, frames: Frames, valid: Sequence[Tensor | None] | None) -> list[Tensor]:
    """Return the frames as a list after checking ranks, dtypes and masks."""
    if isinstance(frames, Tensor):
        check_shapes(op, frames=(frames, "T 3 H W"))
    frames = list(frames)
    check_option(op, len(frames) >= 1, "at least one frame", len(frames))
    if valid is not None:
        check_option(op, len(valid) == len(frames), f"{len(frames)} masks", len(valid))
    for t, frame in enumerate(frames):
        mask = None if valid is None else valid[t]
        check_shapes(op, **{f"frames[{t}]": (frame, "3 H W"), f"valid[{t}]": (mask, "1 H W")})
        check_bool(op, **{f"valid[{t}]": mask})
        if 0 in frame.shape:
            raise ShapeError(f"{op}: frames[{t}] holds no pixel, got {list(frame.shape)}")
        if not (frame.is_floating_point() or frame.dtype in FULL_SCALE):
            raise DtypeError(
                f"{op}: frames[{t}] must be floating point in [0, 1], uint8 or uint16, "
                f"got {frame.dtype}"
            )
    return frames


def hide_invalid(image: Tensor, valid: Tensor | None) -> Tensor:
    """Return the image with NaN where it is not valid, which descriptors treat as unknown."""
    return image if valid is None else torch.where(valid, image, float("nan"))


class Photo(NamedTuple):
    """A frame as it came.

    Attributes:
        image: (3, H, W) floating point, uint8 or uint16.
        valid: (1, H, W) bool, or ``None``.
    """

    image: Tensor
    valid: Tensor | None


class WorkingCopy(NamedTuple):
    """A frame reduced to the size that a step works on.

    Attributes:
        image: (1, 3, h, w) float32.
        valid: (1, 1, h, w) bool, or ``None``.
        working_full: (3, 3) float64, pixels of the copy ~ M @ pixels of the frame; where a lens is
            known, undistorted ones.
    """

    image: Tensor
    valid: Tensor | None
    working_full: Tensor


def working_copy(
    frame: Tensor, valid: Tensor | None, longest: int, device: torch.device, distortion: float = 0.0
) -> WorkingCopy:
    """Return the frame with its longest side at most ``longest`` pixels, before it is undistorted.

    An undistorted copy is as large as what the frame shows of the scene: its corners do not get
    lost, and its edges may be bent.
    """
    image = shrink(frame, longest).to(device, torch.float32)
    known = None if valid is None else shrink_valid(valid[None], image_size(image)).to(device)
    copy = WorkingCopy(image, known, resize_matrix(image_size(frame), image_size(image)))
    return copy if distortion == 0 else _undistorted(copy, distortion)


def smaller_copy(copy: WorkingCopy, longest: int) -> WorkingCopy:
    """Return a copy of the same frame with its longest side at most ``longest`` pixels."""
    image = shrink(copy.image[0], longest)
    valid = None if copy.valid is None else shrink_valid(copy.valid, image_size(image))
    matrix = resize_matrix(image_size(copy.image), image_size(image)) @ copy.working_full
    return WorkingCopy(image, valid, matrix)


def _undistorted(copy: WorkingCopy, distortion: float) -> WorkingCopy:
    border = straight_border(image_size(copy.image), distortion)
    low, high = border.amin(0).floor(), border.amax(0).ceil()
    width, height = (high - low).long().tolist()
    shift = torch.eye(3, dtype=torch.float64)
    shift[:2, 2] = -low
    warped = warp_homography(
        copy.image,
        shift[None].to(copy.image),
        copy.valid,
        size=(height + 1, width + 1),
        distortion=copy.image.new_tensor([distortion]),
    )
    return WorkingCopy(warped.image, warped.valid, shift @ copy.working_full)
