"""A pencil or an ink pen: strokes and hatching."""

from __future__ import annotations

import numpy as np

from diar_ops.textures._procedural.canvas import Canvas, Image
from diar_ops.textures._procedural.rng import Colour, Rng


class Pen:
    """A pencil or an ink pen: its colour, width and hand."""

    def __init__(self, rng: Rng, canvas: Canvas) -> None:
        self.rng, self.canvas = rng, canvas
        self.ink: Colour = rng.ink()
        self.width = max(1.0, canvas.unit * rng.logarithmic(0.002, 0.008))
        self.shake = canvas.unit * rng.pick((0.0, 0.001, 0.003))

    def stroke(self, points: Image, share: float = 1.0) -> None:
        """Draw a curve through ``points`` (N, 2)."""
        if self.shake and len(points) > 2:
            wobble = np.cumsum(self.rng.normal(*points.shape), axis=0)
            points = points + self.shake * 0.4 * (wobble - wobble.mean(axis=0)) / len(points) ** 0.5
        self.canvas.line(points, self.ink, self.width * share)

    def hatch(self, inside: Image, turn: float, pitch: float) -> None:
        """Draw parallel lines where a mask of the canvas says so."""
        height, width = inside.shape
        along = np.array([np.cos(turn), np.sin(turn)], np.float32)
        across = np.array([-along[1], along[0]])
        reach = float(np.hypot(height, width)) / 2
        middle = np.array([width / 2, height / 2], np.float32)
        steps = np.arange(-reach, reach, max(1.0, reach / 150), dtype=np.float32)
        offsets = np.arange(-reach, reach, max(2.0, pitch), dtype=np.float32)
        offsets = offsets + pitch * self.rng.array(len(offsets), low=-0.15, high=0.15)
        # [lines, steps, 2]
        points = middle + offsets[:, None, None] * across + steps[:, None] * along
        x, y = points[..., 0].astype(np.int32), points[..., 1].astype(np.int32)
        is_drawn = (x >= 0) & (y >= 0) & (x < width) & (y < height)
        is_drawn &= inside[y.clip(0, height - 1), x.clip(0, width - 1)]
        edges = np.diff(np.pad(is_drawn, ((0, 0), (1, 1))).astype(np.int8), axis=1)
        line, start = (edges == 1).nonzero()
        end = (edges == -1).nonzero()[1]
        is_long = end - start > 1
        pairs = np.stack((points[line, start], points[line, end - 1]), axis=1)
        self.canvas.lines(pairs[is_long], self.ink, self.width * 0.6)


def wash(rng: Rng) -> Colour:
    """Return a light colour, as of thin paint."""
    return rng.hsv(None, (0.1, 0.45), (0.65, 0.95))
