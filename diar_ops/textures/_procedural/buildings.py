"""Line drawings of buildings: plans, and rows of houses."""

from __future__ import annotations

import numpy as np

from diar_ops.textures._procedural.canvas import Canvas
from diar_ops.textures._procedural.pen import Pen, wash
from diar_ops.textures._procedural.rng import Rng, mix

Box = tuple[float, float, float, float]


def plan(rng: Rng, canvas: Canvas, pen: Pen) -> None:
    """Draw the plan of a flat: rooms, doors, windows, dimensions."""
    if rng.chance(0.3):  # a blueprint
        canvas.box(0, 0, canvas.width, canvas.height, rng.hsv(0.6, (0.6, 0.9), (0.3, 0.6)))
        pen.ink = (0.92, 0.95, 1.0)
    if rng.chance(0.4):
        canvas.grid(canvas.unit / rng.integer(12, 40), mix(canvas.paper, pen.ink, 0.25))
    wall = pen.width * rng.uniform(1.5, 3.5)
    edge = canvas.unit * rng.uniform(0.08, 0.16)
    right, bottom = canvas.width - edge, canvas.height - edge
    canvas.outline(edge, edge, right, bottom, pen.ink, wall * 1.4)
    _divide(rng, canvas, pen, (edge, edge, right, bottom), wall, depth=4)
    y = edge * 0.5
    canvas.line([(edge, y), (right, y)], pen.ink, pen.width * 0.5)
    ticks = [[(x, y - edge * 0.12), (x, y + edge * 0.12)] for x in np.linspace(edge, right, rng.integer(3, 7))]
    canvas.lines(ticks, pen.ink, pen.width * 0.6)


def _divide(rng: Rng, canvas: Canvas, pen: Pen, box: Box, wall: float, *, depth: int) -> None:
    """Divide a box by walls with doors into rooms, at most ``depth`` times."""
    x0, y0, x1, y1 = box
    width, height = x1 - x0, y1 - y0
    is_small = depth == 0 or min(width, height) < canvas.unit * 0.15
    if is_small or (depth < 3 and rng.chance(0.15)):
        _furnish(rng, canvas, pen, box)
        return
    share = rng.uniform(0.35, 0.65)
    door = canvas.unit * 0.07
    if width > height:
        x = x0 + width * share
        y = y0 + (height - door) * rng.uniform(0.1, 0.9)
        canvas.lines([[(x, y0), (x, y)], [(x, y + door), (x, y1)]], pen.ink, wall)
        halves = (x0, y0, x, y1), (x, y0, x1, y1)
    else:
        y = y0 + height * share
        x = x0 + (width - door) * rng.uniform(0.1, 0.9)
        canvas.lines([[(x0, y), (x, y)], [(x + door, y), (x1, y)]], pen.ink, wall)
        halves = (x0, y0, x1, y), (x0, y, x1, y1)
    canvas.ellipse((x, y), (door, door), pen.ink, arc=(0, 90), width=pen.width * 0.5)
    for half in halves:
        _divide(rng, canvas, pen, half, wall, depth=depth - 1)


def _furnish(rng: Rng, canvas: Canvas, pen: Pen, box: Box) -> None:
    """Draw what stands in a room."""
    x0, y0, x1, y1 = box
    kind = rng.pick(("none", "table", "bed", "stairs", "tiles"))
    cx = x0 + (x1 - x0) * rng.uniform(0.3, 0.7)
    cy = y0 + (y1 - y0) * rng.uniform(0.3, 0.7)
    s = min(x1 - x0, y1 - y0) * 0.2
    if kind == "table":
        canvas.ellipse((cx, cy), (s, s * 0.7), pen.ink, width=pen.width * 0.6)
    elif kind == "bed":
        corners = np.array([(-1, -0.7), (1, -0.7), (1, 0.7), (-1, 0.7)]) * s + (cx, cy)
        canvas.line(corners, pen.ink, pen.width * 0.6, closed=True)
        pillow = corners[[0, 1]] * 0.7 + np.array([cx, cy]) * 0.3
        canvas.line(pillow, pen.ink, pen.width * 0.6)
    elif kind in ("stairs", "tiles"):
        count = rng.integer(5, 10)
        steps = [[(x, y0), (x, y1)] for x in np.linspace(x0, x1, count)[1:-1]]
        if kind == "tiles":
            steps += [[(x0, y), (x1, y)] for y in np.linspace(y0, y1, count)[1:-1]]
        canvas.lines(steps, pen.ink, pen.width * 0.4)


def town(rng: Rng, canvas: Canvas, pen: Pen) -> None:
    """Draw a row of houses with roofs and windows."""
    base = canvas.height * rng.uniform(0.75, 0.92)
    x = canvas.unit * rng.uniform(-0.05, 0.1)
    pitch = canvas.unit * rng.uniform(0.012, 0.025)
    coloured = rng.chance(0.4)
    while x < canvas.width:
        width = canvas.unit * rng.uniform(0.12, 0.3)
        height = canvas.height * rng.uniform(0.25, 0.6)
        top, right = base - height, x + width
        ridge = (x + width / 2, top - width * rng.uniform(0.2, 0.7))
        roof = np.array([(x - 3, top), ridge, (right + 3, top)], np.float32)
        walls = np.array([(x, base), (x, top), (right, top), (right, base)], np.float32)
        if coloured:
            canvas.polygon(walls, wash(rng))
            canvas.polygon(roof, rng.hsv(rng.uniform(0, 0.08), (0.3, 0.7), (0.4, 0.8)))
        pen.stroke(walls)
        pen.stroke(np.concatenate((roof, roof[:1])))
        columns, rows = rng.integer(1, 3), rng.integer(1, 4)
        w, h = width * 0.5 / columns, height * 0.5 / (rows + 0.6)
        for i in range(rows):
            for j in range(columns):
                wx = x + width * (j + 0.25) / columns
                wy = top + height * (i + 0.25) / (rows + 0.6)
                canvas.outline(wx, wy, wx + w, wy + h, pen.ink, pen.width * 0.7)
                bar = [(wx + w / 2, wy), (wx + w / 2, wy + h)]
                canvas.lines([bar], pen.ink, pen.width * 0.5)
        if rng.chance(0.4) and not coloured:
            shaded = np.zeros((canvas.height, canvas.width), bool)
            columns_shaded = slice(max(0, int(right - 0.3 * width)), max(0, int(right)))
            shaded[max(0, int(top)) : int(base), columns_shaded] = True
            pen.hatch(shaded, rng.uniform(0.6, 1.1), pitch)
        x = right + rng.pick((0.0, 0.0, 0.05 * canvas.unit))
    ground = np.array([(0, base), (canvas.width / 2, base), (canvas.width, base)], np.float32)
    pen.stroke(ground, 1.4)
