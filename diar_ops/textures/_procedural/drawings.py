"""Line drawings: hatched solids, landscapes, plants, curves."""

from __future__ import annotations

import numpy as np

from diar_ops.textures._procedural.buildings import plan, town
from diar_ops.textures._procedural.canvas import Canvas, Image
from diar_ops.textures._procedural.fractal import fractal_noise
from diar_ops.textures._procedural.pen import Pen, wash
from diar_ops.textures._procedural.rng import Rng


def drawing(rng: Rng, size: tuple[int, int]) -> Image:
    """Return a drawing in pencil or ink, some of it washed with colour."""
    canvas = Canvas(size, rng.paper())
    pen = Pen(rng, canvas)
    rng.pick((_solids, _hills, _plants, plan, _curves, _contours, town))(rng, canvas, pen)
    image = canvas.finish()
    if rng.chance(0.5):
        grain = fractal_noise(rng, size, cells=max(size) / 3, count=2)
        image *= 1 - 0.03 * np.abs(grain)[..., None]
    return image


def _solids(rng: Rng, canvas: Canvas, pen: Pen) -> None:
    """Draw spheres, boxes and cones with hatched shade: a still life."""
    y = np.arange(canvas.height, dtype=np.float32)[:, None]
    x = np.arange(canvas.width, dtype=np.float32)[None]
    floor = canvas.height * rng.uniform(0.5, 0.8)
    pen.stroke(np.array([(0, floor), (canvas.width / 2, floor), (canvas.width, floor)], np.float32))
    pitch = canvas.unit * rng.uniform(0.012, 0.03)
    turn = rng.uniform(0.4, 1.2)
    for _ in range(rng.integer(2, 5)):
        cx = rng.uniform(0.1, 0.9) * canvas.width
        r = canvas.unit * rng.uniform(0.08, 0.24)
        cy = floor + rng.uniform(-0.3, 0.6) * r
        fill = wash(rng) if rng.chance(0.3) else None
        shadow = ((x - cx - 0.9 * r) / (1.3 * r)) ** 2 + ((y - cy - 0.9 * r) / (0.25 * r)) ** 2 < 1
        pen.hatch(shadow, 0.0, pitch)
        faces, outline, shade = rng.pick((_ball, _box, _cone))(x, y, cx, cy, r)
        for face in faces:
            if fill is not None:
                canvas.polygon(face, fill)
            pen.stroke(np.concatenate((face, face[:1])))
        if fill is not None:
            canvas.polygon(outline, fill)
        pen.stroke(outline.astype(np.float32))
        pen.hatch(shade, turn, pitch)
        if rng.chance(0.4):
            pen.hatch(shade, turn + 1.2, pitch)


#: Other faces (N, 2), outline (N, 2) and shaded side (H, W) bool of a solid.
Solid = tuple[list[Image], Image, Image]


def _ball(x: Image, y: Image, cx: float, cy: float, r: float) -> Solid:
    angle = np.linspace(0, 2 * np.pi, 40, dtype=np.float32)
    outline = np.stack((cx + r * np.cos(angle), cy + r * np.sin(angle)), 1)
    inside = (x - cx) ** 2 + (y - cy) ** 2 < r * r
    lit = (x - cx + 0.5 * r) ** 2 + (y - cy + 0.4 * r) ** 2 <= (1.05 * r) ** 2
    return [], outline, inside & ~lit


def _box(x: Image, y: Image, cx: float, cy: float, r: float) -> Solid:
    front = np.array([(-1, -1), (0.6, -1), (0.6, 1), (-1, 1), (-1, -1)], np.float32) * r
    side = np.array([(0.6, -1), (1.2, -1.4), (1.2, 0.6), (0.6, 1)], np.float32) * r
    lid = np.array([(-1, -1), (-0.4, -1.4), (1.2, -1.4), (0.6, -1)], np.float32) * r
    is_side = (x > cx + 0.6 * r) & (x < cx + 1.2 * r)
    shade = is_side & (np.abs(y - cy + 0.67 * (x - cx - 0.6 * r)) < r)
    centre = np.array([cx, cy])
    return [side + centre, lid + centre], front + centre.astype(np.float32), shade


def _cone(x: Image, y: Image, cx: float, cy: float, r: float) -> Solid:
    angle = np.linspace(0, 2 * np.pi, 40, dtype=np.float32)[:20]
    base = np.stack((cx + r * np.cos(angle), cy + r + 0.25 * r * np.sin(angle)), 1)
    tip = np.array([(cx, cy - 1.4 * r)], np.float32)
    down = (y - cy + 1.4 * r) / (2.4 * r)
    shade = (down > 0) & (down < 1) & (x > cx + 0.15 * r * down) & (x < cx + r * down)
    return [], np.concatenate((tip, base, tip)), shade


def _hills(rng: Rng, canvas: Canvas, pen: Pen) -> None:
    """Draw ridges behind each other, hatched along the slope, a sun, birds."""
    x = np.linspace(0, canvas.width, 80, dtype=np.float32)
    count = rng.integer(3, 6)
    if rng.chance(0.6):
        r = canvas.unit * rng.uniform(0.05, 0.12)
        centre = rng.uniform(0.1, 0.9) * canvas.width, rng.uniform(0.08, 0.25) * canvas.height
        canvas.ellipse(centre, (r, r), pen.ink, width=pen.width)
    coloured, paper = rng.chance(0.35), canvas.paper
    for ridge in range(count):
        level = canvas.height * (0.25 + 0.7 * (ridge + 0.5) / count)
        line = fractal_noise(rng, (1, 80), cells=rng.uniform(2, 7), count=5)[0]
        y = level + canvas.height * 0.12 * line
        points = np.stack((x, y), 1)
        ground = np.concatenate((points, [(canvas.width, canvas.height), (0, canvas.height)]))
        canvas.polygon(ground, wash(rng) if coloured else paper)
        pen.stroke(points.astype(np.float32))
        depth = canvas.height / count * 0.6
        strokes = []
        for start in range(2, 78):
            if line[start + 1] > line[start]:
                length = depth * rng.uniform(0.2, 0.9)
                for third in range(3):
                    px, py = x[start] + third * (x[1] - x[0]) / 3, y[start] + 2
                    stroke = [(px, py), (px - 0.3 * length, py + length)]
                    strokes.append(np.array(stroke, np.float32))
        canvas.lines(strokes, pen.ink, pen.width * 0.5)
    for _ in range(rng.integer(0, 6)):
        bx, by = rng.uniform(0.05, 0.95) * canvas.width, rng.uniform(0.05, 0.3) * canvas.height
        s = canvas.unit * 0.02
        pen.stroke(np.array([(bx - s, by - s), (bx, by), (bx + s, by - s)], np.float32), 0.7)


def _plants(rng: Rng, canvas: Canvas, pen: Pen) -> None:
    """Draw stems that branch and carry leaves, as in a herbarium."""
    leaf_colour = rng.hsv(rng.uniform(0.2, 0.45), (0.2, 0.6), (0.4, 0.85))
    filled = rng.chance(0.5)
    shape = rng.uniform(0.15, 0.45)

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
        angles = angle + np.cumsum(rng.array(count, low=-0.13, high=0.13))
        steps = np.stack((np.cos(angles), np.sin(angles)), 1) * length / count
        points = np.cumsum(np.vstack(((x, y), steps)), axis=0)
        canvas.line(points, pen.ink, pen.width * (0.6 + 0.5 * depth))
        for i in range(3, count + 1):
            px, py = points[i]
            side = 1 if i % 2 else -1
            turn = angles[min(i, count - 1)] + side * rng.uniform(0.5, 1.0)
            if depth > 0 and rng.chance(0.3):
                stem(px, py, turn, length * rng.uniform(0.4, 0.6), depth - 1)
            elif rng.chance(0.8):
                leaf(px, py, turn, length * rng.uniform(0.14, 0.24) * (1.3 if depth else 1.6))

    for _ in range(rng.pick((1, 1, 2, 3))):
        x = rng.uniform(0.25, 0.75) * canvas.width
        y = canvas.height * rng.uniform(0.9, 1.0)
        angle = -np.pi / 2 + rng.uniform(-0.25, 0.25)
        length = canvas.height * rng.uniform(0.6, 0.85)
        stem(x, y, angle, length, rng.integer(0, 1))


def _curves(rng: Rng, canvas: Canvas, pen: Pen) -> None:
    """Draw loops and spirals in one go: abstract, or like handwriting."""
    for _ in range(rng.integer(1, 5)):
        t = np.linspace(0, 1, 500)
        points = np.zeros((500, 2))
        for _ in range(rng.integer(2, 6)):
            turns, phase = rng.integer(1, 9), rng.array(2) * 2 * np.pi
            points += np.cos(2 * np.pi * turns * t[:, None] + phase) / turns**0.7
        points *= np.array([canvas.width, canvas.height]) * rng.uniform(0.15, 0.45)
        points += np.array([canvas.width, canvas.height]) * (0.5 + 0.2 * rng.array(2, low=-1))
        ink = pen.ink if rng.chance(0.6) else rng.ink()
        canvas.line(points, ink, pen.width * rng.uniform(0.7, 3))


def _contours(rng: Rng, canvas: Canvas, pen: Pen) -> None:
    """Draw contour lines."""
    size = canvas.height, canvas.width
    field = fractal_noise(rng, size, cells=rng.uniform(1.5, 4), count=4, fall=0.4)
    field = field * rng.uniform(3, 10)
    slope = np.hypot(*np.gradient(field)) + 1e-4 if min(size) > 1 else np.ones(size)
    for pitch, width in ((1.0, pen.width * 0.5), (5.0, pen.width)):
        distance = np.abs((field / pitch + 0.5) % 1 - 0.5) * pitch / slope  # in pixels
        cover = np.clip(width / 2 + 0.5 - distance, 0, 1)
        layer = canvas.layer(pen.ink)
        np.maximum(layer, (cover * 255).astype(np.uint8), out=layer)
