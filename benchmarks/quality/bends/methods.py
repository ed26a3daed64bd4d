"""Methods that lay bent photos over their reference."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diar_ops.geometry import warp_homography
from diar_ops.geometry._spline import DisplacementGrid
from diar_ops.pipeline import align_sequence


class Placed(NamedTuple):
    """Where photos are laid over their reference, frame 0.

    Attributes:
        homography_reference_frame: (T, 3, 3) float64.
        success: (T,) bool.
        displacement: (T, 2, H, W) float32: the reference's pixel p shows what the frame shows where
            its homography takes it to p plus this, right and down; None for zero.
        seconds: Of the processor.
    """

    homography_reference_frame: Tensor
    success: Tensor
    displacement: Tensor | None
    seconds: float


#: Maps photos (T, 3, H, W), and where homographies alone lay them, to where they lie.
Method: TypeAlias = Callable[[Tensor, Placed], Placed]


def place_flat(frames: Tensor) -> Placed:
    """Lay photos over frame 0 by homographies alone."""
    start = time.process_time()
    alignment = align_sequence(frames, reference=0, bends="none")
    seconds = time.process_time() - start
    return Placed(alignment.homography_reference_frame, alignment.success, None, seconds)


def _homography(frames: Tensor, flat: Placed) -> Placed:
    return flat


def _grids(frames: Tensor, _: Placed) -> Placed:
    start = time.process_time()
    alignment = align_sequence(frames, reference=0, bends="auto")
    seconds = time.process_time() - start
    displacement = None
    if alignment.grid is not None:
        rows, columns = (torch.arange(float(n)) for n in alignment.size)
        displacement = DisplacementGrid(alignment.grid, alignment.size).at(rows, columns)
    return Placed(alignment.homography_reference_frame, alignment.success, displacement, seconds)


def _after_homography(displace: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Method:
    """Return a method that looks for what the homography leaves of each frame.

    Args:
        displace: Maps the reference (3, H, W), a frame that is laid over it, and its validity
            (1, H, W) to the displacement (2, H, W).
    """

    def method(frames: Tensor, flat: Placed) -> Placed:
        start = time.process_time()
        laid = warp_homography(frames, flat.homography_reference_frame.float())
        found = [
            displace(frames[0], image, valid) if success and t else torch.zeros(2, *image.shape[-2:])
            for t, (image, valid, success) in enumerate(zip(*laid, flat.success, strict=True))
        ]
        seconds = flat.seconds + time.process_time() - start
        return flat._replace(displacement=torch.stack(found), seconds=seconds)

    return method


def _dis(reference: Tensor, image: Tensor, valid: Tensor) -> Tensor:
    """The optical flow of OpenCV (DIS), at its best preset."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = search.calc(_grey(reference), _grey(torch.where(valid, image, reference)), np.empty(0, np.float32))
    return torch.from_numpy(flow).movedim(-1, 0)


def _ecc(reference: Tensor, image: Tensor, valid: Tensor) -> Tensor:
    """The affine map that OpenCV's enhanced correlation coefficient finds; none where it finds none."""
    affine = np.eye(2, 3, dtype=np.float32)
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 50, 1e-4)
    mask = valid[0].numpy().astype(np.uint8)
    try:
        _, found = cv2.findTransformECC(_grey(reference), _grey(image), affine, cv2.MOTION_AFFINE, stop, mask, 5)
    except cv2.error:
        return torch.zeros(2, *image.shape[-2:])
    y, x = torch.meshgrid(*(torch.arange(n).float() for n in image.shape[-2:]), indexing="ij")
    a = torch.from_numpy(np.asarray(found, np.float32))
    moved = torch.einsum("ij,jhw->ihw", a, torch.stack((x, y, torch.ones_like(x))))
    return moved - torch.stack((x, y))


def _grey(image: Tensor) -> NDArray[np.uint8]:
    rgb = (image.clamp(0, 1) * 255).round().byte().movedim(0, -1).contiguous().numpy()
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)


METHODS: dict[str, Method] = {
    "homography": _homography,
    "grids": _grids,
    "homography, DIS": _after_homography(_dis),
    "homography, ECC": _after_homography(_ecc),
}
