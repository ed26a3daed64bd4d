"""A finished run, and its frames as seen from the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._pixels import image_size, resize_matrix
from diar_ops._types import Alignment, Reconstruction
from diar_ops.pipeline import warp_frame

Window = tuple[int, int, int, int]


class FinishedRun(NamedTuple):
    """What a report is of: T frames (3, H, W) as loaded, their file names, and what came out."""

    frames: Sequence[Tensor]
    names: Sequence[str]
    alignment: Alignment
    reconstruction: Reconstruction

    def warp_window(self, index: int, window: Window) -> tuple[Tensor, Tensor]:
        """Warp a frame onto a window (top, left, height, width) of the reference, at full size.

        Returns:
            (3, height, width) float32 in [0, 1] with the frame's gain applied, and (1, height,
            width) bool: where the frame shows something; both on the CPU.
        """
        H = self.alignment.homography_reference_frame[index]
        return self._warp(index, self.frames[index].detach(), H, window)

    def warp_reduced(self, index: int, reduced: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Warp a frame that was reduced to any size onto the reference reduced to ``size``.

        Returns:
            As :meth:`warp_window`.
        """
        H = self.alignment.homography_reference_frame[index].detach().cpu().double()
        to_reference = resize_matrix(self.alignment.size, size)
        to_frame = torch.linalg.inv(resize_matrix(image_size(self.frames[index]), image_size(reduced)))
        return self._warp(index, reduced, to_reference @ H @ to_frame, (0, 0, *size))

    def _warp(self, index: int, frame: Tensor, homography: Tensor, window: Window) -> tuple[Tensor, Tensor]:
        gain = self.reconstruction.gain[index].detach().cpu()
        homography = homography.detach().cpu()
        distortion = self.alignment.distortion
        image, valid = warp_frame(frame, homography, window, gain=gain, distortion=distortion)
        return image[0].cpu().clamp(0, 1), valid[0].cpu()
