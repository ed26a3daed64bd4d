"""A finished run, and its frames as seen from the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._pixels import image_size, resize_matrix
from diar_ops._types import Alignment, Reconstruction
from diar_ops.pipeline import grid_displacement, resize_grid, warp_frame

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
        return self._warp(index, self.frames[index].detach(), H, window, self.alignment.size)

    def warp_reduced(self, index: int, reduced: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Warp a frame that was reduced to any size onto the reference reduced to ``size``.

        Returns:
            As :meth:`warp_window`.
        """
        H = self.alignment.homography_reference_frame[index].detach().cpu().double()
        to_reference = resize_matrix(self.alignment.size, size)
        to_frame = torch.linalg.inv(resize_matrix(image_size(self.frames[index]), image_size(reduced)))
        return self._warp(index, reduced, to_reference @ H @ to_frame, (0, 0, *size), size)

    def displacement(self, index: int, size: tuple[int, int]) -> Tensor | None:
        """Return (2, h, w), a frame's displacements at the pixels of the reference reduced to ``size``.

        They are in pixels of the reference; ``None`` where there are none.
        """
        grid = self.alignment.grid
        if grid is None or not bool(grid[index].any()):
            return None
        return grid_displacement(grid[index].detach().cpu(), size)

    def _warp(
        self, index: int, frame: Tensor, homography: Tensor, window: Window, size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Warp onto a window of the reference at ``size``."""
        gain = self.reconstruction.gain[index].detach().cpu()
        homography = homography.detach().cpu()
        distortion, grid = self.alignment.distortion, self.alignment.grid
        grid = None if grid is None else resize_grid(grid[index].detach().cpu(), self.alignment.size, size)
        image, valid = warp_frame(frame, homography, window, gain=gain, distortion=distortion, grid=grid, size=size)
        return image[0].cpu().clamp(0, 1), valid[0].cpu()
