"""A finished run, and its frames as they lie over its picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._pixels import image_size, resize_matrix
from diar_ops._types import Alignment, Canvas, Reconstruction
from diar_ops.pipeline import grid_displacement, warp_frame

Window = tuple[int, int, int, int]


class FinishedRun(NamedTuple):
    """What a report is of: T frames (3, H, W) as loaded, their names, what came out, and on which canvas."""

    frames: Sequence[Tensor]
    names: Sequence[str]
    alignment: Alignment
    reconstruction: Reconstruction
    canvas: Canvas | None = None
    icc_profile: bytes | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the picture."""
        return self.alignment.size if self.canvas is None else self.canvas.size

    def warp_window(self, index: int, window: Window) -> tuple[Tensor, Tensor]:
        """Warp a frame onto a window (top, left, height, width) of the picture, at full size.

        Returns:
            (3, height, width) float32 in [0, 1] with the frame's gain applied, and (1, height,
            width) bool: where the frame shows something; both on the CPU.
        """
        H = self.alignment.homography_reference_frame[index]
        return self._warp(index, self.frames[index].detach(), H, window, self.size)

    def warp_reduced(self, index: int, reduced: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Warp a frame that was reduced to any size onto the picture reduced to ``size``.

        Returns:
            As :meth:`warp_window`.
        """
        H = self.alignment.homography_reference_frame[index].detach().cpu().double()
        to_frame = torch.linalg.inv(resize_matrix(image_size(self.frames[index]), image_size(reduced)))
        return self._warp(index, reduced, H @ to_frame, (0, 0, *size), size)

    def displacement(self, index: int, size: tuple[int, int]) -> Tensor | None:
        """Return (2, h, w), a frame's displacements at the pixels of the picture reduced to ``size``.

        They are in pixels of the reference; ``None`` where there are none.
        """
        grid = self.alignment.grid
        if grid is None or not bool(grid[index].any()):
            return None
        homography_reference_picture = torch.linalg.inv(self._canvas(size).homography_canvas_reference)
        return grid_displacement(grid[index].detach().cpu(), size, self.alignment.size, homography_reference_picture)

    def _canvas(self, size: tuple[int, int]) -> Canvas:
        """Return what the picture is made on, reduced to ``size``."""
        H = resize_matrix(self.size, size)
        return Canvas(H if self.canvas is None else H @ self.canvas.homography_canvas_reference.cpu().double(), size)

    def _warp(
        self, index: int, frame: Tensor, homography_reference_frame: Tensor, window: Window, size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Warp onto a window of the picture at ``size``."""
        alignment = self.alignment
        image, valid = warp_frame(
            frame,
            homography_reference_frame.detach().cpu(),
            window,
            gain=self.reconstruction.gain[index].detach().cpu(),
            distortion=alignment.distortion,
            grid=None if alignment.grid is None else alignment.grid[index].detach().cpu(),
            size=alignment.size,
            canvas=self._canvas(size),
        )
        return image[0].cpu().clamp(0, 1), valid[0].cpu()
