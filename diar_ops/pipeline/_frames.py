"""Frames of a sequence: checks, and copies reduced to the size that a step works on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from threading import Lock
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from diar_ops._checks import check_bool, check_device, check_has_values, check_no_gradient, check_option, check_shapes
from diar_ops._errors import DtypeError, ShapeError
from diar_ops._pixels import FULL_SCALE, image_size, resize_matrix, shrink, shrink_valid
from diar_ops._threads import map_threads
from diar_ops.geometry import warp_homography
from diar_ops.geometry._refine.pyramid import Pyramid
from diar_ops.geometry.refine import refinement_pyramid
from diar_ops.pipeline._lens import undistorted_border

#: Frames of one sequence: a tensor (T, 3, H, W), or T tensors (3, H, W) of any sizes.
Frames: TypeAlias = Tensor | Sequence[Tensor]


#: Copies that are kept at a time, each of up to 12 MB: every pair needs two, and shrinking a large
#: photo anew for each is slow.
COPIES = 12
#: Called with (name of the step, steps done, steps in all).
Progress: TypeAlias = Callable[[str, int, int], None]


def check_frames(op: str, frames: Frames, valid: Sequence[Tensor | None] | None) -> list[Tensor]:
    """Return the frames as a list after checking ranks, dtypes and masks."""
    if isinstance(frames, Tensor):
        check_shapes(op, frames=(frames, "T 3 H W"))
    elif not isinstance(frames, Sequence):
        raise DtypeError(f"{op}: frames must be a tensor (T 3 H W) or T tensors (3 H W), got {type(frames).__name__}")
    frames = list(frames)
    check_option(op, len(frames) >= 1, "at least one frame in frames", len(frames))
    if valid is not None:
        fits = isinstance(valid, (Sequence, Tensor)) and len(valid) == len(frames)
        got = len(valid) if isinstance(valid, (Sequence, Tensor)) else type(valid).__name__
        check_option(op, fits, f"valid to be {len(frames)} masks", got)
    for t, frame in enumerate(frames):
        mask = None if valid is None else valid[t]
        check_shapes(op, **{f"frames[{t}]": (frame, "3 H W"), f"valid[{t}]": (mask, "? 1 H W")})
        check_bool(op, **{f"valid[{t}]": mask})
        check_no_gradient(op, **{f"frames[{t}]": frame})
        check_has_values(op, **{f"frames[{t}]": frame, f"valid[{t}]": mask})
        if 0 in frame.shape:
            raise ShapeError(f"{op}: frames[{t}] holds no pixel, got {list(frame.shape)}")
        if not (frame.is_floating_point() or frame.dtype in FULL_SCALE):
            raise DtypeError(f"{op}: frames[{t}] must be floating point in [0, 1], uint8 or uint16, got {frame.dtype}")
    return frames


def host_generator(generator: torch.Generator | None) -> torch.Generator:
    """Return a source of randomness; for ``None`` one of a fixed seed, on the CPU.

    Wherever the frames are: their results shall not hang on the device.
    """
    return torch.Generator().manual_seed(0) if generator is None else generator


def split_generator(generator: torch.Generator | None, count: int) -> list[torch.Generator]:
    """Return ``count`` sources of randomness of a source: what one draws does not hang on the others."""
    generator = host_generator(generator)
    seeds = torch.randint(2**63 - 1, (count,), generator=generator, device=generator.device)
    return [torch.Generator(generator.device).manual_seed(seed) for seed in seeds.tolist()]


def silent(step: str, done: int, total: int) -> None:
    """Receive the progress of a step, and show none."""


def sharpness_of(image: Tensor) -> float:
    """Return the mean gradient per contrast of an image (1, 3, h, w): independent of exposure."""
    grey = image.mean(dim=1)
    dx = (grey[:, :, 1:] - grey[:, :, :-1]).abs().mean()
    dy = (grey[:, 1:] - grey[:, :-1]).abs().mean()
    return float((dx + dy) / (grey.std(correction=0) + 0.02))


def hide_invalid(image: Tensor, valid: Tensor | None) -> Tensor:
    """Return the image with NaN where it is not valid, which descriptors treat as unknown."""
    return image if valid is None else torch.where(valid, image, float("nan"))


class Frame(NamedTuple):
    """A frame as given.

    Attributes:
        image: (3, H, W) floating point, uint8 or uint16.
        valid: (1, H, W) bool, or ``None``.
    """

    image: Tensor
    valid: Tensor | None


@dataclass(frozen=True)
class WorkingCopy:
    """A frame reduced to the size that a step works on.

    Attributes:
        image: (1, 3, h, w) float32.
        valid: (1, 1, h, w) bool, or ``None``.
        homography_copy_frame: (3, 3) float64, copy ~ H @ frame, in pixels; in undistorted ones,
            where a lens is known.
    """

    image: Tensor
    valid: Tensor | None
    homography_copy_frame: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Return (height, width) of the copy."""
        return image_size(self.image)

    @cached_property
    def pyramid(self) -> Pyramid:
        """What :func:`refine_homography` makes of the copy: once for all others that it is compared with."""
        return refinement_pyramid(self.image, self.valid)


def working_copy(
    frame: Tensor, valid: Tensor | None, longest: int, device: torch.device, distortion: float = 0.0
) -> WorkingCopy:
    """Reduce a frame to a longest side of ``longest`` pixels at most, then undistort it.

    An undistorted copy is as large as what the frame shows of the scene: its corners are not cut
    off, and its border may be curved.
    """
    image = shrink(frame, longest).to(device, torch.float32)
    mask = None if valid is None else shrink_valid(valid[None], image_size(image)).to(device)
    copy = WorkingCopy(image, mask, resize_matrix(image_size(frame), image_size(image)))
    return copy if distortion == 0 else _undistort(copy, distortion)


class PreparedFrames(NamedTuple):
    """The frames of a sequence after they were checked.

    Attributes:
        frames: All frames.
        finite: Whether the values of each are finite.
        device: Where to compute.
    """

    frames: list[Frame]
    finite: list[bool]
    device: torch.device

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of the frames."""
        return [image_size(frame.image) for frame in self.frames]

    def copies(self, longest: int) -> list[WorkingCopy | None]:
        """Return a working copy of each frame, ``None`` of those that are not finite."""

        def copy(t: int) -> WorkingCopy | None:
            return working_copy(*self.frames[t], longest, self.device) if self.finite[t] else None

        return list(map_threads(copy, range(len(self.frames)), self.device))


def prepare_frames(
    op: str, frames: Frames, valid: Sequence[Tensor | None] | None, device: torch.device | str | None
) -> PreparedFrames:
    """Check frames and masks; compute where the frames are unless told where."""
    images = check_frames(op, frames, valid)
    device = images[0].device if device is None else check_device(op, device)
    finite = [not image.is_floating_point() or bool(image.isfinite().all()) for image in images]
    masks = [None] * len(images) if valid is None else valid
    return PreparedFrames([Frame(*pair) for pair in zip(images, masks, strict=True)], finite, device)


class WorkingCopies:
    """The working copies of frames, made when they are asked for; the last few are kept.

    Args:
        frames: All frames.
        longest: Longest side of the copies, in pixels, at most.
        device: Where they are.
        distortion: Of the lens through which the frames were taken.
    """

    def __init__(self, frames: Sequence[Frame], longest: int, device: torch.device, distortion: float = 0.0) -> None:
        self.frames, self.longest, self.device, self.distortion = frames, longest, device, distortion
        self._kept = lru_cache(COPIES)(self._make)
        self._locks = [Lock() for _ in frames]

    def __getitem__(self, t: int) -> WorkingCopy:
        with self._locks[t]:  # not made twice by threads that ask for it at the same time
            return self._kept(t)

    def _make(self, t: int) -> WorkingCopy:
        return working_copy(*self.frames[t], self.longest, self.device, self.distortion)

    def kind(self, t: int) -> tuple[tuple[int, int], bool]:
        """Return what frames share whose copies can go together."""
        frame = self.frames[t]
        return image_size(frame.image), frame.valid is None

    def pixels(self, t: int) -> int:
        """Return how many pixels a copy has, at most."""
        height, width = image_size(self.frames[t].image)
        return min(height * width, self.longest**2)


def smaller_copy(copy: WorkingCopy, longest: int) -> WorkingCopy:
    """Reduce a copy further, to a longest side of ``longest`` pixels at most."""
    image = shrink(copy.image[0], longest)
    valid = None if copy.valid is None else shrink_valid(copy.valid, image_size(image))
    homography = resize_matrix(copy.size, image_size(image)) @ copy.homography_copy_frame
    return WorkingCopy(image, valid, homography)


def _undistort(copy: WorkingCopy, distortion: float) -> WorkingCopy:
    border = undistorted_border(copy.size, distortion)
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
    return WorkingCopy(warped.image, warped.valid, shift @ copy.homography_copy_frame)
