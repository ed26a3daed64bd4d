"""Warp the frames of an aligned sequence onto windows of the reference, or of a canvas."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from diar_ops._pixels import image_size, resize_matrix, shrink_alike, shrink_valid, to_unit
from diar_ops._threads import map_threads
from diar_ops._types import Alignment, Canvas
from diar_ops.colour import GAMMA, TOE, linear_to_srgb, srgb_to_linear
from diar_ops.geometry import distort_points, transform_points, warp_homography
from diar_ops.geometry._spline import DisplacementGrid
from diar_ops.pipeline._lens import undistorted_border
from diar_ops.pipeline._light_fields import EvenLight

#: (x0, y0, x1, y1), the last ones beyond the box.
Box: TypeAlias = tuple[int, int, int, int]


def window_slices(window: tuple[int, int, int, int]) -> tuple[slice, slice]:
    """Return rows and columns of a window (top, left, height, width)."""
    top, left, height, width = window
    return slice(top, top + height), slice(left, left + width)


class AlignedSequence(NamedTuple):
    """Frames, their alignment, and which of them are used.

    Attributes:
        frames: T tensors (3, H, W); floating point, uint8 or uint16.
        valid: T masks (1, H, W) bool, or ``None``.
        alignment: How the frames lie over the reference.
        used: Indices of the frames that take part.
        device: Where they are warped.
        canvas: What they are warped onto; ``None``: the reference.
        light: Of photos of parts; ``None``: colours are untouched.
        whole: By frame, what :meth:`warp_whole` keeps of it: (1, 3, H, W) and valid.
    """

    frames: list[Tensor]
    valid: list[Tensor | None]
    alignment: Alignment
    used: list[int]
    device: torch.device
    canvas: Canvas | None = None
    light: EvenLight | None = None
    whole: Mapping[int, tuple[Tensor, Tensor]] | None = None

    @property
    def margin(self) -> int:
        """Pixels around a window that are worked on with it."""
        return 0

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of what the frames are warped onto."""
        return self.alignment.size if self.canvas is None else self.canvas.size

    def warp(self, window: tuple[int, int, int, int], gain: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return a window of the used frames (1, T, 3, h, w) and valid (1, T, 1, h, w)."""
        if self.whole is not None and gain is None:
            part = (..., *window_slices(window))
            parts = [(self.whole[t][0][part], self.whole[t][1][part]) for t in self.used]
        else:
            parts = list(map_threads(lambda t: self._warp_frame(t, window, gain), self.used, self.device))
        frames, valid = torch.stack([p[0] for p in parts], 1), torch.stack([p[1] for p in parts], 1)
        if self.light is not None:
            frames = self.light.apply(frames, self.used, window, self.size)
        return frames, valid

    def _warp_frame(self, t: int, window: tuple[int, int, int, int], gain: Tensor | None) -> tuple[Tensor, Tensor]:
        return warp_frame(
            self.frames[t],
            self.alignment.homography_reference_frame[t],
            window,
            valid=self.valid[t],
            gain=None if gain is None else gain[t],
            distortion=self.alignment.distortion,
            grid=None if self.alignment.grid is None else self.alignment.grid[t],
            size=self.alignment.size,
            canvas=self.canvas,
            device=self.device,
        )

    def warp_whole(self) -> AlignedSequence:
        """Return the sequence with the whole of each used frame warped once, for any number of windows."""
        window = (0, 0, *self.size)
        warped = map_threads(lambda t: self._warp_frame(t, window, None), self.used, self.device)
        return self._replace(whole=dict(zip(self.used, warped, strict=True)))

    def only(self, t: int) -> AlignedSequence:
        """Return the sequence with frame ``t`` as the only one that is used."""
        return self._replace(used=[t])

    def resized(self, size: tuple[int, int], longest: int) -> AlignedSequence:
        """Resize what the frames are warped onto to ``size``, and frames to ``longest`` at most."""
        resize = resize_matrix(self.size, size)
        frames, valid = list(self.frames), list(self.valid)
        homography = self.alignment.homography_reference_frame.clone()
        # Rounded to their own dtype: fifty copies must fit into memory.
        copies = map_threads(lambda t: shrink_alike(self.frames[t], longest), self.used, self.device)
        for t, copy in zip(self.used, copies, strict=True):
            frame, mask = self.frames[t], self.valid[t]
            frames[t], small = copy, image_size(copy)
            if mask is not None and small != image_size(frame):
                valid[t] = shrink_valid(mask[None], small)[0]
            homography_frame_small = torch.linalg.inv(resize_matrix(image_size(frame), small))
            H = homography[t].to(torch.float64)
            homography[t] = (resize @ H if self.canvas is None else H) @ homography_frame_small
        if self.canvas is not None:
            alignment = self.alignment._replace(homography_reference_frame=homography)
            canvas = Canvas(resize @ self.canvas.homography_canvas_reference, size)
            return self._replace(frames=frames, valid=valid, alignment=alignment, canvas=canvas, whole=None)
        grid = self.alignment.grid
        grid = None if grid is None else resize_grid(grid, self.alignment.size, size)
        alignment = self.alignment._replace(homography_reference_frame=homography, size=size, grid=grid)
        return self._replace(frames=frames, valid=valid, alignment=alignment, whole=None)


def warp_frame(
    frame: Tensor,
    homography_reference_frame: Tensor,
    window: tuple[int, int, int, int],
    *,
    valid: Tensor | None = None,
    gain: Tensor | None = None,
    distortion: float = 0.0,
    grid: Tensor | None = None,
    size: tuple[int, int] | None = None,
    canvas: Canvas | None = None,
    device: torch.device | str | None = None,
) -> tuple[Tensor, Tensor]:
    """Warp a frame onto a window of the reference, or of a canvas, touching only the source pixels it needs.

    Args:
        frame: (3, H, W) floating point, uint8 or uint16.
        homography_reference_frame: (3, 3), reference ~ H @ frame, in pixels, undistorted ones.
        window: (top, left, height, width) in the reference; in the canvas, if there is one.
        valid: Optional (1, H, W) bool.
        gain: Optional (3,) factors in linear light.
        distortion: Coefficient of the frame's lens, see :func:`undistort_points`.
        grid: Optional (2, rows + 3, columns + 3) of :attr:`Alignment.grid`; it needs ``size``.
        size: (height, width) of the reference.
        canvas: What the frame is warped onto, in one step, instead of the reference.
        device: Where to compute; ``None``: where the frame is.

    Returns:
        Image (1, 3, height, width) float32, not clipped where a gain exceeds 1, and valid
        (1, 1, height, width) bool.
    """
    device = frame.device if device is None else torch.device(device)
    H = onto_canvas(canvas, homography_reference_frame)
    bend = None
    if grid is not None and size is not None and bool(grid.any()):
        bend = _Bend(grid, size, None if canvas is None else _onto_reference(canvas))
    return _warp_window(frame, H, [window], valid, gain, distortion, device, bend)


def resize_grid(grid: Tensor, from_size: tuple[int, int], to_size: tuple[int, int]) -> Tensor:
    """Return displacements (..., 2, rows, columns) of an image that takes another (height, width)."""
    scale = grid.new_tensor([to_size[1] / from_size[1], to_size[0] / from_size[0]])
    return grid * scale[:, None, None]


def grid_displacement(
    grid: Tensor,
    size: tuple[int, int],
    span: tuple[int, int] | None = None,
    homography_span_image: Tensor | None = None,
) -> Tensor:
    """Return the displacements (2, h, w) of a grid at the pixels of an image, in the grid's pixels.

    Args:
        grid: (2, rows + 3, columns + 3) control points.
        size: (height, width) of the image.
        span: (height, width) that the grid spans; ``None``: the image.
        homography_span_image: (3, 3), where it lies, if it spans another plane.
    """
    rows, columns = (torch.arange(n, dtype=grid.dtype) for n in size)
    displacement = DisplacementGrid(grid[None], span or size)
    if homography_span_image is None:
        return displacement.at(rows, columns)[0]
    points = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1)  # [h, w, 2]
    x, y = transform_points(points.flatten(0, 1).double(), homography_span_image).points.to(grid).unbind(-1)
    return displacement.at_points(x.view(1, *size), y.view(1, *size))[0]


def warp_windows(
    frame: Tensor,
    homography_reference_frame: Tensor,
    windows: Sequence[tuple[int, int, int, int]],
    *,
    valid: Tensor | None = None,
    distortion: float = 0.0,
    canvas: Canvas | None = None,
    device: torch.device | None = None,
) -> tuple[Tensor, Tensor]:
    """Warp a frame onto several windows of one size, as :func:`warp_frame` does onto one.

    Returns:
        Images (n, 3, height, width) float32 and valid (n, 1, height, width) bool.
    """
    device = frame.device if device is None else device
    H = onto_canvas(canvas, homography_reference_frame)
    if distortion == 0:
        return _warp_window(frame, H, windows, valid, None, distortion, device)
    # Each crop has a place of its own in the photo, which a batch shares where a lens bends it.
    parts = [_warp_window(frame, H, [window], valid, None, distortion, device) for window in windows]
    return torch.cat([image for image, _ in parts]), torch.cat([shown for _, shown in parts])


class _Bend(NamedTuple):
    """Displacements of a frame.

    Attributes:
        grid: (2, rows + 3, columns + 3) control points.
        size: (height, width) of the reference, which they span.
        homography_reference_canvas: (3, 3) float64; ``None`` where the frame is warped onto the
            reference itself.
    """

    grid: Tensor
    size: tuple[int, int]
    homography_reference_canvas: Tensor | None


def onto_canvas(canvas: Canvas | None, homography_reference_frame: Tensor) -> Tensor:
    """Return ``homography_canvas_frame``, in float64 where there is a canvas."""
    if canvas is None:
        return homography_reference_frame
    H = canvas.homography_canvas_reference.to("cpu", torch.float64)
    return H @ homography_reference_frame.to("cpu", torch.float64)


def _onto_reference(canvas: Canvas) -> Tensor:
    """Return ``homography_reference_canvas``, float64."""
    H: Tensor = torch.linalg.inv(canvas.homography_canvas_reference.to("cpu", torch.float64))
    return H


def _warp_window(
    frame: Tensor,
    homography_canvas_frame: Tensor,
    windows: Sequence[tuple[int, int, int, int]],
    valid: Tensor | None,
    gain: Tensor | None,
    distortion: float,
    device: torch.device,
    bend: _Bend | None = None,
) -> tuple[Tensor, Tensor]:
    """Warp a frame onto windows of one size; with a lens or a grid and the size it spans onto one only."""
    size = windows[0][2:]
    H = homography_canvas_frame.to("cpu", torch.float64)
    H = torch.stack([_translation(-left, -top) for top, left, _, _ in windows]) @ H
    photo = image_size(frame)
    # No displacement is longer than the longest control point's.
    farthest = 0 if bend is None else math.ceil(float(bend.grid.norm(dim=0).max()))
    plane: Tensor | None = None
    if bend is not None and bend.homography_reference_canvas is not None:
        top, left, _, _ = windows[0]
        plane = bend.homography_reference_canvas @ _translation(left, top)
        boxes = _displaced_boxes(H, plane, size, photo, distortion, farthest)
    else:
        boxes = _source_boxes(H, size, photo, distortion, farthest)
    shown = [i for i, (x0, y0, x1, y1) in enumerate(boxes) if x1 > x0 and y1 > y0]
    images = torch.zeros(len(windows), 3, *size, dtype=torch.float32, device=device)
    masks = torch.zeros_like(images[:, :1], dtype=torch.bool)
    if not shown:
        return images, masks
    boxes = _boxes_of_one_size([boxes[i] for i in shown], photo)
    crop = to_unit(torch.stack([frame[:, y0:y1, x0:x1] for x0, y0, x1, y1 in boxes]).to(device))
    if gain is not None and bool((gain != 1).any()):
        crop = _apply_gain(crop, gain)
    mask = None if valid is None else torch.stack([valid[:, y0:y1, x0:x1] for x0, y0, x1, y1 in boxes]).to(device)
    H = H[shown] @ torch.stack([_translation(x0, y0) for x0, y0, _, _ in boxes])
    warped = warp_homography(
        crop,
        H.to(crop),
        size=size,
        valid=mask,
        distortion=None if distortion == 0 else crop.new_tensor([distortion]),
        photo_size=photo,
        photo_offset=boxes[0][:2],
        grid=None if bend is None else bend.grid[None].to(crop),
        grid_size=None if bend is None else bend.size,
        grid_offset=(windows[0][1], windows[0][0]) if plane is None else (0, 0),
        homography_grid_dst=None if plane is None else plane[None].to(crop),
    )
    if len(shown) == len(windows):
        return warped.image, warped.valid
    images[shown], masks[shown] = warped.image, warped.valid
    return images, masks


def _apply_gain(image: Tensor, gain: Tensor) -> Tensor:
    """Multiply (1, 3, H, W) sRGB pixels by (3,) factors in linear light.

    Above the linear toe of the transfer function, a factor in linear light is affine in the
    coded value: light times g is coded as (x + TOE) * g**(1 / GAMMA) - TOE.
    """
    factor = gain.to(image).view(1, 3, 1, 1)
    coded = (image + TOE) * factor ** (1 / GAMMA) - TOE
    toe = (image <= 0.04045) | (coded <= 0.04045)
    coded[toe] = linear_to_srgb(srgb_to_linear(image[toe]) * factor.expand_as(image)[toe])
    return coded


def _translation(x: float, y: float) -> Tensor:
    return torch.tensor([[1, 0, x], [0, 1, y], [0, 0, 1]], dtype=torch.float64)


def _source_boxes(
    homography_window_frame: Tensor,
    window: tuple[int, int],
    frame: tuple[int, int],
    distortion: float,
    farthest: int = 0,
) -> list[Box]:
    """Return the boxes of source pixels that windows (N, 3, 3) of one size can sample.

    Pixels of the windows may be displaced by ``farthest`` pixels.
    """
    height, width = frame
    inverse = torch.linalg.inv(homography_window_frame)
    # A lens bends the edges of the window: its corners alone do not bound it.
    border = undistorted_border((window[0] + 2 * farthest, window[1] + 2 * farthest), 0.0) - farthest
    points, in_front = transform_points(border.expand(len(inverse), *border.shape), inverse)
    if distortion != 0:
        points, exist = distort_points(points, points.new_tensor(distortion), size=frame)
        in_front = in_front & exist
    boxes = []
    for low, high, seen in zip(
        points.amin(dim=1).tolist(), points.amax(dim=1).tolist(), in_front.all(dim=1).tolist(), strict=True
    ):
        # Room for the support of the interpolation and of the anti-aliasing pyramid.
        margin = 16 + 0.05 * max(high[0] - low[0], high[1] - low[1])
        boxes.append(
            (
                max(0, math.floor(low[0] - margin)),
                max(0, math.floor(low[1] - margin)),
                min(width, math.ceil(high[0] + margin) + 1),
                min(height, math.ceil(high[1] + margin) + 1),
            )
            if seen
            else (0, 0, width, height)
        )
    return boxes


def _displaced_boxes(
    homography_window_frame: Tensor,
    homography_reference_window: Tensor,
    window: tuple[int, int],
    frame: tuple[int, int],
    distortion: float,
    farthest: int,
) -> list[Box]:
    """Return what :func:`_source_boxes` does, for displacements in pixels of the reference."""
    border, in_front = transform_points(undistorted_border(window, 0.0), homography_reference_window)
    if not bool(in_front.all()):
        return [(0, 0, frame[1], frame[0])] * len(homography_window_frame)
    low, high = border.amin(0).floor(), border.amax(0).ceil()
    width, height = (high - low).long().add(1).tolist()
    box_window = _translation(*(-low).tolist()) @ homography_reference_window
    return _source_boxes(box_window @ homography_window_frame, (height, width), frame, distortion, farthest)


def _boxes_of_one_size(boxes: Sequence[Box], photo: tuple[int, int]) -> list[Box]:
    """Enlarge boxes within a photo to the size of the largest; what is beyond a box is not sampled."""
    width, height = max(x1 - x0 for x0, _, x1, _ in boxes), max(y1 - y0 for _, y0, _, y1 in boxes)
    corners = [(min(x0, photo[1] - width), min(y0, photo[0] - height)) for x0, y0, _, _ in boxes]
    return [(x0, y0, x0 + width, y0 + height) for x0, y0 in corners]
