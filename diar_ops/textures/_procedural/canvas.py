"""A canvas: anti-aliased shapes, drawn twice as large and reduced, with text in layers above."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from diar_ops.textures._procedural.fonts import put_text
from diar_ops.textures._procedural.rng import Colour

#: Canvas pixels per pixel of the texture.
SCALE = 2
#: OpenCV takes coordinates in these fractions of a pixel.
SHIFT = 4

#: (H, W, 3), float32 in [0, 1] unless said otherwise.
Image = NDArray[Any]


class Canvas:
    """A drawing in canvas pixels.

    Attributes:
        width: Of the canvas.
        height: Of the canvas.
        unit: The shorter of the two.
        pixels: (height, width, 3) uint8.
    """

    def __init__(self, size: tuple[int, int], ground: Colour | Image) -> None:
        import cv2

        self.size = size
        self.height, self.width = size[0] * SCALE, size[1] * SCALE
        self.unit = min(self.height, self.width)
        self._layers: dict[Colour, NDArray[np.uint8]] = {}
        self.pixels: NDArray[np.uint8]
        if isinstance(ground, tuple):
            self.pixels = np.empty((self.height, self.width, 3), np.uint8)
            cv2.rectangle(self.pixels, (0, 0), (self.width, self.height), _to_bytes(ground), -1)
        else:
            self.pixels = _enlarge(ground, (self.height, self.width))

    def line(self, points: Any, colour: Colour, width: float, *, closed: bool = False) -> None:
        """Draw the polyline through ``points`` (N, 2)."""
        self._polylines([_to_fixed_point(points)], colour, width, closed=closed)

    def outline(self, left: float, top: float, right: float, bottom: float, colour: Colour, width: float) -> None:
        """Draw the outline of a rectangle."""
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        self.line(corners, colour, width, closed=True)

    def lines(self, lines: Any, colour: Colour, width: float) -> None:
        """Draw polylines of equal length (N, M, 2)."""
        lines = np.asarray(lines, np.float32)
        if lines.size:
            points = _to_fixed_point(lines).reshape(*lines.shape[:2], 1, 2)
            self._polylines(list(points), colour, width)

    def grid(self, pitch: float, colour: Colour, *, start: float = 0.0) -> None:
        """Draw thin horizontal and vertical lines ``pitch`` apart over all of the canvas."""
        rows = [[(0, y), (self.width, y)] for y in np.arange(start, self.height, pitch)]
        columns = [[(x, 0), (x, self.height)] for x in np.arange(start, self.width, pitch)]
        self.lines(rows + columns, colour, 1)

    def _polylines(self, lines: list[NDArray[np.int32]], colour: Colour, width: float, *, closed: bool = False) -> None:
        import cv2

        colour_bytes, thickness = _to_bytes(colour), max(1, round(width))
        cv2.polylines(self.pixels, lines, closed, colour_bytes, thickness, cv2.LINE_AA, SHIFT)

    def polygon(self, points: Any, colour: Colour) -> None:
        """Fill the polygon with corners ``points`` (N, 2)."""
        import cv2

        cv2.fillPoly(self.pixels, [_to_fixed_point(points)], _to_bytes(colour), cv2.LINE_AA, SHIFT)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """Fill a rectangle."""
        import cv2

        start, end = (round(left), round(top)), (round(right) - 1, round(bottom) - 1)
        if end[0] >= start[0] and end[1] >= start[1]:
            cv2.rectangle(self.pixels, start, end, _to_bytes(colour), -1)

    def ellipse(
        self,
        centre: tuple[float, float],
        axes: tuple[float, float],
        colour: Colour,
        *,
        turn: float = 0.0,
        arc: tuple[float, float] = (0.0, 360.0),
        width: float = -1,
    ) -> None:
        """Draw an ellipse of half axes ``axes``, filled if ``width`` is negative; degrees."""
        import cv2

        thickness = -1 if width < 0 else max(1, round(width))
        fixed = [round(v * 2**SHIFT) for v in (*centre, *axes)]
        cv2.ellipse(
            self.pixels,
            (fixed[0], fixed[1]),
            (max(1, fixed[2]), max(1, fixed[3])),
            turn,
            *arc,
            _to_bytes(colour),
            thickness,
            cv2.LINE_AA,
            SHIFT,
        )

    def paste(self, image: Image, left: int, top: int, right: int, bottom: int) -> None:
        """Put a picture (h, w, 3) in [0, 1] into a rectangle."""
        left, top = max(0, left), max(0, top)
        right, bottom = min(self.width, right), min(self.height, bottom)
        if right > left and bottom > top:
            self.pixels[top:bottom, left:right] = _enlarge(image, (bottom - top, right - left))

    @property
    def paper(self) -> Colour:
        """The colour of the first pixel."""
        r, g, b = (float(v) / 255 for v in self.pixels[0, 0])
        return r, g, b

    def layer(self, colour: Colour) -> NDArray[np.uint8]:
        """Return the coverage (height, width) of text in this colour."""
        if colour not in self._layers:
            self._layers[colour] = np.zeros((self.height, self.width), np.uint8)
        return self._layers[colour]

    def text(self, x: float, baseline: float, text: str, font: str, size: float, colour: Colour) -> None:
        """Write ``text`` into the layer of its colour; ``size`` is that of the em."""
        put_text(self.layer(colour), x, baseline, font, size, text)

    def finish(self) -> Image:
        """Return the texture (H, W, 3) in [0, 1]."""
        import cv2

        height, width = self.size
        reduced = cv2.resize(self.pixels, (width, height), interpolation=cv2.INTER_AREA)
        # One plane after the other is several times faster than pixel by pixel.
        planes = np.moveaxis(reduced.reshape(height, width, 3), 2, 0).astype(np.float32, order="C")
        planes *= 1 / 255
        for colour, mask in self._layers.items():
            cover = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA)
            share = cover.reshape(height, width).astype(np.float32) * np.float32(1 / 255)
            for plane, value in zip(planes, colour, strict=True):
                plane += share * (np.float32(value) - plane)
        return np.moveaxis(planes, 0, 2)


def _enlarge(image: Image, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a picture in [0, 1] as uint8 (H, W, 3) of ``size``."""
    import cv2

    coded = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
    large = cv2.resize(coded, size[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(large, np.uint8).reshape(*size, 3)


def _to_bytes(colour: Colour) -> tuple[int, int, int]:
    r, g, b = (min(255, max(0, round(255 * c))) for c in colour)
    return r, g, b


def _to_fixed_point(points: Any) -> NDArray[np.int32]:
    scaled = np.asarray(points, np.float32).reshape(-1, 1, 2) * 2**SHIFT
    fixed: NDArray[np.int32] = np.clip(np.rint(scaled), -(2**24), 2**24).astype(np.int32)
    return fixed
