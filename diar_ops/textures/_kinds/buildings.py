"""Line drawings of buildings: plans, and rows of houses."""

from __future__ import annotations

import numpy as np

from diar_ops.textures._kinds.canvas import Canvas
from diar_ops.textures._kinds.dice import Dice, mix
from diar_ops.textures._kinds.pen import Pen, wash

__all__ = ["plan", "town"]


def plan(dice: Dice, canvas: Canvas, pen: Pen) -> None:
    """Draw the plan of a flat: rooms, doors, windows, dimensions."""
    if dice.chance(0.3):  # a blueprint
        canvas.box(0, 0, canvas.width, canvas.height, dice.hsv(0.6, (0.6, 0.9), (0.3, 0.6)))
        pen.ink = (0.92, 0.95, 1.0)
    if dice.chance(0.4):
        pitch = canvas.unit / dice.integer(12, 40)
        faint = mix(canvas.paper, pen.ink, 0.25)
        rows = [[(0, y), (canvas.width, y)] for y in np.arange(0, canvas.height, pitch)]
        columns = [[(x, 0), (x, canvas.height)] for x in np.arange(0, canvas.width, pitch)]
        canvas.lines(rows + columns, faint, 1)
    wall = pen.width * dice.uniform(1.5, 3.5)
    edge = canvas.unit * dice.uniform(0.08, 0.16)

    def rooms(x0: float, y0: float, x1: float, y1: float, depth: int) -> None:
        wide, high = x1 - x0, y1 - y0
        if depth == 0 or min(wide, high) < canvas.unit * 0.15 or (depth < 3 and dice.chance(0.15)):
            kind = dice.pick(("none", "table", "bed", "stairs", "tiles"))
            cx, cy = x0 + wide * dice.uniform(0.3, 0.7), y0 + high * dice.uniform(0.3, 0.7)
            s = min(wide, high) * 0.2
            box = np.array([(-1, -0.7), (1, -0.7), (1, 0.7), (-1, 0.7)]) * s + (cx, cy)
            if kind == "table":
                canvas.ellipse((cx, cy), (s, s * 0.7), pen.ink, width=pen.width * 0.6)
            elif kind == "bed":
                canvas.line(box, pen.ink, pen.width * 0.6, closed=True)
                canvas.line(box[[0, 1]] * 0.7 + np.array([cx, cy]) * 0.3, pen.ink, pen.width * 0.6)
            elif kind in ("stairs", "tiles"):
                count = dice.integer(5, 10)
                steps = [[(x, y0), (x, y1)] for x in np.linspace(x0, x1, count)[1:-1]]
                if kind == "tiles":
                    steps += [[(x0, y), (x1, y)] for y in np.linspace(y0, y1, count)[1:-1]]
                canvas.lines(steps, pen.ink, pen.width * 0.4)
            return
        share = dice.uniform(0.35, 0.65)
        door = canvas.unit * 0.07
        if wide > high:
            x = x0 + wide * share
            gap = y0 + (high - door) * dice.uniform(0.1, 0.9)
            canvas.lines([[(x, y0), (x, gap)], [(x, gap + door), (x, y1)]], pen.ink, wall)
            canvas.ellipse((x, gap), (door, door), pen.ink, arc=(0, 90), width=pen.width * 0.5)
            rooms(x0, y0, x, y1, depth - 1)
            rooms(x, y0, x1, y1, depth - 1)
        else:
            y = y0 + high * share
            gap = x0 + (wide - door) * dice.uniform(0.1, 0.9)
            canvas.lines([[(x0, y), (gap, y)], [(gap + door, y), (x1, y)]], pen.ink, wall)
            canvas.ellipse((gap, y), (door, door), pen.ink, arc=(0, 90), width=pen.width * 0.5)
            rooms(x0, y0, x1, y, depth - 1)
            rooms(x0, y, x1, y1, depth - 1)

    right, bottom = canvas.width - edge, canvas.height - edge
    canvas.line(
        [(edge, edge), (right, edge), (right, bottom), (edge, bottom)],
        pen.ink,
        wall * 1.4,
        closed=True,
    )
    rooms(edge, edge, right, bottom, 4)
    y = edge * 0.5
    canvas.line([(edge, y), (right, y)], pen.ink, pen.width * 0.5)
    ticks = [
        [(x, y - edge * 0.12), (x, y + edge * 0.12)]
        for x in np.linspace(edge, right, dice.integer(3, 7))
    ]
    canvas.lines(ticks, pen.ink, pen.width * 0.6)


def town(dice: Dice, canvas: Canvas, pen: Pen) -> None:
    """Draw a row of houses with roofs and windows."""
    base = canvas.height * dice.uniform(0.75, 0.92)
    x = canvas.unit * dice.uniform(-0.05, 0.1)
    pitch = canvas.unit * dice.uniform(0.012, 0.025)
    coloured = dice.chance(0.4)
    while x < canvas.width:
        wide = canvas.unit * dice.uniform(0.12, 0.3)
        high = canvas.height * dice.uniform(0.25, 0.6)
        top, right = base - high, x + wide
        roof = np.array(
            [(x - 3, top), (x + wide / 2, top - wide * dice.uniform(0.2, 0.7)), (right + 3, top)],
            np.float32,
        )
        walls = np.array([(x, base), (x, top), (right, top), (right, base)], np.float32)
        if coloured:
            canvas.polygon(walls, wash(dice))
            canvas.polygon(roof, dice.hsv(dice.uniform(0, 0.08), (0.3, 0.7), (0.4, 0.8)))
        pen.stroke(walls)
        pen.stroke(np.concatenate((roof, roof[:1])))
        columns, rows = dice.integer(1, 3), dice.integer(1, 4)
        for i in range(rows):
            for j in range(columns):
                wx, wy = x + wide * (j + 0.25) / columns, top + high * (i + 0.25) / (rows + 0.6)
                w, h = wide * 0.5 / columns, high * 0.5 / (rows + 0.6)
                frame = [(wx, wy), (wx + w, wy), (wx + w, wy + h), (wx, wy + h)]
                canvas.line(frame, pen.ink, pen.width * 0.7, closed=True)
                canvas.lines([[(wx + w / 2, wy), (wx + w / 2, wy + h)]], pen.ink, pen.width * 0.5)
        if dice.chance(0.4) and not coloured:
            inside = np.zeros((canvas.height, canvas.width), bool)
            inside[
                max(0, int(top)) : int(base), max(0, int(right - 0.3 * wide)) : max(0, int(right))
            ] = True
            pen.hatch(inside, dice.uniform(0.6, 1.1), pitch)
        x = right + dice.pick((0.0, 0.0, 0.05 * canvas.unit))
    pen.stroke(
        np.array([(0, base), (canvas.width / 2, base), (canvas.width, base)], np.float32), 1.4
    )
