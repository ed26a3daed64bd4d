"""What both halves of the pipeline do with frames: check them, cut them, shrink them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops._checks import check_bool, check_option, check_shapes
from diar_ops._errors import DeviceError, DtypeError, ShapeError
from diar_ops.geometry import warp_homography
from diar_ops.pipeline._lens import straight_border

__all__ = [
    "Frames",
    "Photo",
    "WorkingCopy",
    "check_device",
    "check_frames",
    "hide_invalid",
    "image_size",
    "rescale_matrix",
    "shrink",
    "shrink_alike",
    "smaller_copy",
    "to_unit",
    "working_copy",
]

#: Frames of one sequence: a tensor (T, 3, H, W), or T tensors (3, H, W) of any sizes.
Frames: TypeAlias = Tensor | Sequence[Tensor]

_FULL_SCALE = {torch.uint8: 255.0, torch.uint16: 65535.0}


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
        if not (frame.is_floating_point() or frame.dtype in _FULL_SCALE):
            raise DtypeError(
                f"{op}: frames[{t}] must be floating point in [0, 1], uint8 or uint16, "
                f"got {frame.dtype}"
            )
    return frames


def check_device(op: str, device: torch.device | str) -> torch.device:
    """Return the device after making sure that it computes; raise :class:`DeviceError` if not."""
    try:
        usable = torch.device(device)
        torch.zeros(1, device=usable).cpu()  # the first call on a device is the one that fails
    # A missing backend raises RuntimeError, AssertionError or NotImplementedError.
    except (RuntimeError, AssertionError) as error:
        why = str(error).strip().splitlines()[0].split(". ")[0].rstrip(".")
        raise DeviceError(f"{op}: cannot compute on {str(device)!r}: {why}") from error
    return usable


def image_size(image: Tensor) -> tuple[int, int]:
    """Return (height, width) of (..., H, W)."""
    return int(image.shape[-2]), int(image.shape[-1])


def to_unit(frame: Tensor) -> Tensor:
    """Return the frame as float32 (float64 stays) with full scale 1."""
    if frame.dtype in _FULL_SCALE:
        return frame.to(torch.float32) / _FULL_SCALE[frame.dtype]
    return frame if frame.dtype == torch.float64 else frame.to(torch.float32)


def hide_invalid(image: Tensor, valid: Tensor | None) -> Tensor:
    """Return the image with NaN where it is not valid, which descriptors treat as unknown."""
    return image if valid is None else torch.where(valid, image, float("nan"))


def shrink(frame: Tensor, longest: int) -> Tensor:
    """Return the frame as float (1, 3, h, w) with its longest side at most ``longest`` pixels."""
    image = to_unit(frame).unsqueeze(0)
    height, width = image.shape[-2:]
    factor = longest / max(height, width)
    if factor >= 1:
        return image
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    return F.interpolate(image, size, mode="bilinear", antialias=True)


def shrink_alike(frame: Tensor, longest: int) -> Tensor:
    """Return the frame (3, h, w) as :func:`shrink` does, rounded to its own depth."""
    small = shrink(frame, longest)[0]
    if frame.dtype not in _FULL_SCALE:
        return small
    return (small * _FULL_SCALE[frame.dtype]).round().to(torch.int32).to(frame.dtype)


def rescale_matrix(full: tuple[int, int], small: tuple[int, int]) -> Tensor:
    """Return the float64 (3, 3) map from pixels of the full image to pixels of the small one.

    Pixel centres are at integers, hence ``x_small = (x_full + 0.5) * s - 0.5``.
    """
    sy, sx = small[0] / full[0], small[1] / full[1]
    return torch.tensor(
        [[sx, 0, 0.5 * sx - 0.5], [0, sy, 0.5 * sy - 0.5], [0, 0, 1]], dtype=torch.float64
    )


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
    frame: Tensor,
    valid: Tensor | None,
    longest: int,
    device: torch.device,
    distortion: float = 0.0,
) -> WorkingCopy:
    """Return the frame with its longest side at most ``longest`` pixels, before it is undistorted.

    An undistorted copy is as large as what the frame shows of the scene: its corners do not get
    lost, and its edges may be bent.
    """
    image = shrink(frame, longest).to(device, torch.float32)
    known = None if valid is None else _shrink_valid(valid[None], image_size(image)).to(device)
    copy = WorkingCopy(image, known, rescale_matrix(image_size(frame), image_size(image)))
    return copy if distortion == 0 else _undistorted(copy, distortion)


def smaller_copy(copy: WorkingCopy, longest: int) -> WorkingCopy:
    """Return a copy of the same frame with its longest side at most ``longest`` pixels."""
    image = shrink(copy.image[0], longest)
    valid = None if copy.valid is None else _shrink_valid(copy.valid, image_size(image))
    matrix = rescale_matrix(image_size(copy.image), image_size(image)) @ copy.working_full
    return WorkingCopy(image, valid, matrix)


def _shrink_valid(valid: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(valid.float(), size, mode="area") > 0.99


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
