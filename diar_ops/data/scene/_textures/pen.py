"""A pencil or an ink pen."""

from __future__ import annotations

import numpy as np

from diar_ops.data.scene._textures.canvas import Canvas, Image
from diar_ops.data.scene._textures.dice import Colour, Dice

__all__ = ["Pen", "wash"]


class Pen:
    """A pencil or an ink pen: its colour, width and hand."""

    def __init__(self, dice: Dice, canvas: Canvas) -> None:
        self.dice, self.canvas = dice, canvas
        self.ink: Colour = dice.ink()
        self.width = max(1.0, canvas.unit * dice.logarithmic(0.002, 0.008))
        self.shake = canvas.unit * dice.pick((0.0, 0.001, 0.003))

    def stroke(self, points: Image, share: float = 1.0) -> None:
        """Draw a curve through ``points`` (N, 2)."""
        if self.shake and len(points) > 2:
            wobble = np.cumsum(self.dice.rng.standard_normal(points.shape), axis=0)
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
        lines = []
        for offset in np.arange(-reach, reach, max(2.0, pitch)):
            line = middle + across * (offset + pitch * 0.15 * self.dice.uniform(-1, 1))
            points = line + steps[:, None] * along
            x, y = points[:, 0].astype(int), points[:, 1].astype(int)
            held = (x >= 0) & (y >= 0) & (x < width) & (y < height)
            held[held] = inside[y[held], x[held]]
            edges = np.flatnonzero(np.diff(np.r_[False, held, False]))
            for start, end in zip(edges[::2], edges[1::2], strict=True):
                if end - start > 1:
                    lines.append(points[[start, end - 1]])
        if lines:
            self.canvas.lines(lines, self.ink, self.width * 0.6)


def wash(dice: Dice) -> Colour:
    """Return a light colour, as of thin paint."""
    return dice.hsv(None, (0.1, 0.45), (0.65, 0.95))
