"""Line drawings: hatched solids, landscapes, plants, curves."""

from __future__ import annotations

import numpy as np

from diar_ops.textures._kinds.buildings import plan, town
from diar_ops.textures._kinds.canvas import Canvas, Image, octaves
from diar_ops.textures._kinds.dice import Dice
from diar_ops.textures._kinds.pen import Pen, wash

__all__ = ["drawing"]


def drawing(dice: Dice, size: tuple[int, int]) -> Image:
    """Return a drawing in pencil or ink, some of it washed with colour."""
    canvas = Canvas(size, dice.paper())
    pen = Pen(dice, canvas)
    dice.pick((_solids, _hills, _plants, plan, _curves, _contours, town))(dice, canvas, pen)
    image = canvas.finish()
    if dice.chance(0.5):
        grain = octaves(dice.rng, size, cells=max(size) / 3, count=2)
        image *= 1 - 0.03 * np.abs(grain)[..., None]
    return image


def _grid(canvas: Canvas) -> tuple[Image, Image]:
    y = np.arange(canvas.height, dtype=np.float32)[:, None]
    return np.arange(canvas.width, dtype=np.float32)[None], y


def _solids(dice: Dice, canvas: Canvas, pen: Pen) -> None:
    """Spheres, boxes and cones with hatched shade: a still life."""
    x, y = _grid(canvas)
    floor = canvas.height * dice.uniform(0.5, 0.8)
    pen.stroke(np.array([(0, floor), (canvas.width / 2, floor), (canvas.width, floor)], np.float32))
    pitch = canvas.unit * dice.uniform(0.012, 0.03)
    turn = dice.uniform(0.4, 1.2)
    for _ in range(dice.integer(2, 5)):
        cx = dice.uniform(0.1, 0.9) * canvas.width
        r = canvas.unit * dice.uniform(0.08, 0.24)
        cy = floor + dice.uniform(-0.3, 0.6) * r
        fill = wash(dice) if dice.chance(0.3) else None
        shadow = ((x - cx - 0.9 * r) / (1.3 * r)) ** 2 + ((y - cy - 0.9 * r) / (0.25 * r)) ** 2 < 1
        pen.hatch(shadow, 0.0, pitch)
        kind = dice.pick(("ball", "box", "cone"))
        angle = np.linspace(0, 2 * np.pi, 40, dtype=np.float32)
        if kind == "ball":
            outline: Image = np.stack((cx + r * np.cos(angle), cy + r * np.sin(angle)), 1)
            dark = ((x - cx) ** 2 + (y - cy) ** 2 < r * r) & (
                (x - cx + 0.5 * r) ** 2 + (y - cy + 0.4 * r) ** 2 > (1.05 * r) ** 2
            )
        elif kind == "box":
            outline = np.array([(-1, -1), (0.6, -1), (0.6, 1), (-1, 1), (-1, -1)], np.float32) * r
            outline = outline + np.array([cx, cy], np.float32)
            side = np.array([(0.6, -1), (1.2, -1.4), (1.2, 0.6), (0.6, 1)], np.float32) * r + (
                cx,
                cy,
            )
            lid = np.array([(-1, -1), (-0.4, -1.4), (1.2, -1.4), (0.6, -1)], np.float32) * r + (
                cx,
                cy,
            )
            for face in (side, lid):
                if fill is not None:
                    canvas.polygon(face, fill)
                pen.stroke(np.concatenate((face, face[:1])))
            dark = (
                (x > cx + 0.6 * r)
                & (x < cx + 1.2 * r)
                & (np.abs(y - cy + 0.67 * (x - cx - 0.6 * r)) < r)
            )
        else:
            base = np.stack(
                (cx + r * np.cos(angle[:20]), cy + r + 0.25 * r * np.sin(angle[:20])), 1
            )
            outline = np.concatenate((np.array([(cx, cy - 1.4 * r)], np.float32), base))
            outline = np.concatenate((outline, outline[:1]))
            down = (y - cy + 1.4 * r) / (2.4 * r)
            dark = (down > 0) & (down < 1) & (x > cx + 0.15 * r * down) & (x < cx + r * down)
        if fill is not None:
            canvas.polygon(outline, fill)
        pen.stroke(outline.astype(np.float32))
        pen.hatch(dark, turn, pitch)
        if dice.chance(0.4):
            pen.hatch(dark, turn + 1.2, pitch)


def _hills(dice: Dice, canvas: Canvas, pen: Pen) -> None:
    """Ridges behind each other, hatched along the slope, a sun, birds."""
    x = np.linspace(0, canvas.width, 80, dtype=np.float32)
    count = dice.integer(3, 6)
    if dice.chance(0.6):
        r = canvas.unit * dice.uniform(0.05, 0.12)
        centre = dice.uniform(0.1, 0.9) * canvas.width, dice.uniform(0.08, 0.25) * canvas.height
        canvas.ellipse(centre, (r, r), pen.ink, width=pen.width)
    coloured, paper = dice.chance(0.35), canvas.paper
    for ridge in range(count):
        level = canvas.height * (0.25 + 0.7 * (ridge + 0.5) / count)
        line = octaves(dice.rng, (1, 80), cells=dice.uniform(2, 7), count=5)[0]
        y = level + canvas.height * 0.12 * line
        points = np.stack((x, y), 1)
        ground = np.concatenate((points, [(canvas.width, canvas.height), (0, canvas.height)]))
        canvas.polygon(ground, wash(dice) if coloured else paper)
        pen.stroke(points.astype(np.float32))
        depth = canvas.height / count * 0.6
        strokes = []
        for start in range(2, 78):
            if line[start + 1] > line[start]:
                length = depth * dice.uniform(0.2, 0.9)
                for part in range(3):
                    px, py = x[start] + part * (x[1] - x[0]) / 3, y[start] + 2
                    strokes.append(
                        np.array([(px, py), (px - 0.3 * length, py + length)], np.float32)
                    )
        canvas.lines(strokes, pen.ink, pen.width * 0.5)
    for _ in range(dice.integer(0, 6)):
        bx, by = dice.uniform(0.05, 0.95) * canvas.width, dice.uniform(0.05, 0.3) * canvas.height
        s = canvas.unit * 0.02
        pen.stroke(np.array([(bx - s, by - s), (bx, by), (bx + s, by - s)], np.float32), 0.7)


def _plants(dice: Dice, canvas: Canvas, pen: Pen) -> None:
    """Stems that branch and carry leaves, as in a herbarium."""
    leaf_colour = dice.hsv(dice.uniform(0.2, 0.45), (0.2, 0.6), (0.4, 0.85))
    filled = dice.chance(0.5)
    shape = dice.uniform(0.15, 0.45)

    def leaf(x: float, y: float, angle: float, length: float) -> None:
        t = np.linspace(0, 1, 12, dtype=np.float32)
        half = np.sin(np.pi * t**0.8) * shape * length
        along = t * length
        outline = np.concatenate((np.stack((along, half), 1), np.stack((along, -half), 1)[::-1]))
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        outline = outline @ turn + (x, y)
        if filled:
            canvas.polygon(outline, leaf_colour)
        canvas.line(outline, pen.ink, pen.width * 0.6, closed=True)
        tip = np.array([(0, 0), (length, 0)]) @ turn + (x, y)
        canvas.line(tip, pen.ink, pen.width * 0.4)

    def stem(x: float, y: float, angle: float, length: float, depth: int) -> None:
        count = 14
        angles = angle + np.cumsum(dice.array(count, low=-0.13, high=0.13))
        steps = np.stack((np.cos(angles), np.sin(angles)), 1) * length / count
        points = np.cumsum(np.vstack(((x, y), steps)), axis=0)
        canvas.line(points, pen.ink, pen.width * (0.6 + 0.5 * depth))
        for i in range(3, count + 1):
            px, py = points[i]
            side = 1 if i % 2 else -1
            turn = angles[min(i, count - 1)] + side * dice.uniform(0.5, 1.0)
            if depth > 0 and dice.chance(0.3):
                stem(px, py, turn, length * dice.uniform(0.4, 0.6), depth - 1)
            elif dice.chance(0.8):
                leaf(px, py, turn, length * dice.uniform(0.14, 0.24) * (1.3 if depth else 1.6))

    for _ in range(dice.pick((1, 1, 2, 3))):
        root = dice.uniform(0.25, 0.75) * canvas.width
        stem(
            root,
            canvas.height * dice.uniform(0.9, 1.0),
            -np.pi / 2 + dice.uniform(-0.25, 0.25),
            canvas.height * dice.uniform(0.6, 0.85),
            dice.integer(0, 1),
        )


def _curves(dice: Dice, canvas: Canvas, pen: Pen) -> None:
    """Draw loops and spirals in one go: abstract, or like handwriting."""
    for _ in range(dice.integer(1, 5)):
        t = np.linspace(0, 1, 500)
        points = np.zeros((500, 2))
        for _ in range(dice.integer(2, 6)):
            turns, phase = dice.integer(1, 9), dice.array(2) * 2 * np.pi
            points += np.cos(2 * np.pi * turns * t[:, None] + phase) / turns**0.7
        points *= np.array([canvas.width, canvas.height]) * dice.uniform(0.15, 0.45)
        points += np.array([canvas.width, canvas.height]) * (0.5 + 0.2 * dice.array(2, low=-1))
        canvas.line(
            points, pen.ink if dice.chance(0.6) else dice.ink(), pen.width * dice.uniform(0.7, 3)
        )


def _contours(dice: Dice, canvas: Canvas, pen: Pen) -> None:
    """Draw lines of equal height."""
    size = canvas.height, canvas.width
    field = octaves(dice.rng, size, cells=dice.uniform(1.5, 4), count=4, fall=0.4)
    field = field * dice.uniform(3, 10)
    slope = np.hypot(*np.gradient(field)) + 1e-4 if min(size) > 1 else np.ones(size)
    for pitch, width in ((1.0, pen.width * 0.5), (5.0, pen.width)):
        away = np.abs((field / pitch + 0.5) % 1 - 0.5) * pitch / slope  # in pixels
        cover = np.clip(width / 2 + 0.5 - away, 0, 1)
        np.maximum(canvas.layer(pen.ink), (cover * 255).astype(np.uint8), out=canvas.layer(pen.ink))
