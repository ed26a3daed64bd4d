"""Paint the images of an environment's cards: boxes, ellipses and pictures in linear light."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

Colour = Sequence[float]


class Card:
    """A card in metres around the middle of the picture: x right, y down, z away from the viewer.

    Painted with NumPy, whose small arrays cost a fraction of torch's.

    Args:
        resolution: Texels of both sides of its image.
        centre: Of the card.
        right: From there to its right edge, a multiple of one direction.
        down: To its lower edge.
        ground: Radiance of all of it; without one the card is clear.

    Attributes:
        image: (4, resolution, resolution) float32, radiance and opacity.
        width: Half of the card's.
        height: As ``width``.
    """

    def __init__(
        self,
        resolution: int,
        centre: Sequence[float],
        right: Sequence[float],
        down: Sequence[float],
        ground: Colour | None = None,
    ) -> None:
        self.centre, self.right, self.down = list(centre), list(right), list(down)
        self.width, self.height = math.hypot(*right), math.hypot(*down)
        self.image = np.zeros((4, resolution, resolution), np.float32)
        if ground is not None:
            self.image += _pixel(ground)
        self._count = resolution

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour, opacity: float = 1.0) -> None:
        """Fill a rectangle; its border is smooth over a texel."""
        rows, columns = self._range(top, bottom, self.height), self._range(left, right, self.width)
        down = self._share(rows, top, bottom, self.height)
        across = self._share(columns, left, right, self.width)
        self._cover(rows, columns, down[:, None] * across * opacity, colour)

    def ellipse(self, x: float, y: float, a: float, b: float, colour: Colour, opacity: float = 1.0) -> None:
        """Fill an ellipse of half axes ``a`` and ``b``; its border is smooth over a texel."""
        rows, columns = self._range(y - b, y + b, self.height), self._range(x - a, x + a, self.width)
        u, v = (self._place(columns, self.width) - x) / a, (self._place(rows, self.height) - y) / b
        away = 1 - np.sqrt(u * u + v[:, None] * v[:, None])
        texel = 2 * max(self.width, self.height) / self._count
        self._cover(rows, columns, (away * (min(a, b) / texel) + 0.5).clip(0, 1) * opacity, colour)

    def glow(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """Add light around a point that covers nothing; it falls to 1 % at ``radius``."""
        everything = slice(0, self._count)
        u = (self._place(everything, self.width) - x) / radius
        v = (self._place(everything, self.height) - y) / radius
        light = np.exp(-4.6 * np.sqrt(u * u + v[:, None] * v[:, None]))
        self.image[:3] += light * _pixel(colour)[:3]

    def shade(self, top: float, bottom: float, left: float = 1.0, right: float = 1.0) -> None:
        """Multiply radiance by factors that change evenly from side to side."""
        rows = np.linspace(top, bottom, self._count, dtype=np.float32)
        columns = np.linspace(left, right, self._count, dtype=np.float32)
        self.image[:3] *= rows[:, None] * columns

    def picture(self, left: float, top: float, right: float, bottom: float, picture: Tensor, light: float) -> None:
        """Put a picture (3, h, w), linear and as bright as paper in ``light``, into a rectangle."""
        rows, columns = self._range(top, bottom, self.height), self._range(left, right, self.width)
        size = rows.stop - rows.start, columns.stop - columns.start
        if min(size) > 0:
            fitted = F.interpolate(picture[None], size, mode="bilinear", antialias=True)[0]
            self.image[:3, rows, columns] = fitted.numpy() * light
            self.image[3, rows, columns] = 1

    def _range(self, low: float, high: float, half: float) -> slice:
        """Return which texels along a side of half length ``half`` are between two bounds, if only in part."""
        start, stop = ((bound / half + 1) * self._count / 2 for bound in (low, high))
        first = min(max(math.floor(start), 0), self._count)
        return slice(first, min(max(math.ceil(stop), first), self._count))

    def _place(self, texels: slice, half: float) -> NDArray[np.float32]:
        """Return where texels' centres are along a side."""
        number = np.arange(texels.start, texels.stop, dtype=np.float32)
        return np.float32(2 * half / self._count) * (number + np.float32(0.5)) - np.float32(half)

    def _share(self, texels: slice, low: float, high: float, half: float) -> NDArray[np.float32]:
        """Return which share of each texel is between two bounds."""
        step = 2 * half / self._count
        place = self._place(texels, half)
        top, bottom = np.minimum(place + 0.5 * step, high), np.maximum(place - 0.5 * step, low)
        share: NDArray[np.float32] = ((top - bottom) / step).clip(0, 1)
        return share

    def _cover(self, rows: slice, columns: slice, cover: NDArray[np.float32], colour: Colour) -> None:
        part = self.image[:, rows, columns]
        part += cover * (_pixel(colour) - part)


def _pixel(colour: Colour) -> NDArray[np.float32]:
    return np.array([*colour, 1.0], np.float32)[:, None, None]
