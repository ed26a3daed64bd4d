"""Maps."""

from __future__ import annotations

import numpy as np

from diar_ops.textures._procedural.canvas import Canvas, Image
from diar_ops.textures._procedural.fonts import FAMILIES
from diar_ops.textures._procedural.fractal import fractal_noise
from diar_ops.textures._procedural.rng import Colour, Rng
from diar_ops.textures._procedural.words import sentence


def map_sheet(rng: Rng, size: tuple[int, int]) -> Image:
    """Return a map: land, water, heights, roads, blocks of houses, names."""
    image, water = _terrain(rng, size)
    canvas = Canvas(size, image.clip(0, 1))
    casing = rng.hsv(0.1, (0.0, 0.3), (0.4, 0.7))
    fill = rng.pick(((1.0, 1.0, 1.0), (1.0, 0.93, 0.6)))
    if rng.chance(0.6):
        _blocks(rng, canvas, casing, water)
    for width in rng.pick(((0.02, 0.012, 0.007), (0.014, 0.008), (0.02, 0.02, 0.008, 0.008))):
        roads = [_road(rng, canvas) for _ in range(rng.integer(1, 4))]
        canvas.lines(roads, casing, canvas.unit * width * 1.35 + 2)
        is_minor = width < 0.015
        colour = fill if is_minor else rng.hsv(rng.uniform(0.0, 0.14), (0.4, 0.7), (0.9, 1.0))
        canvas.lines(roads, colour, canvas.unit * width)
    if rng.chance(0.4):
        pitch = canvas.unit / rng.integer(3, 6)
        canvas.grid(pitch, rng.hsv(0.6, (0.2, 0.5), (0.5, 0.7)), start=pitch / 2)
    ink = _names(rng, canvas)
    if rng.chance(0.3):
        _border(canvas, canvas.unit * rng.uniform(0.02, 0.05), ink)
    return canvas.finish()


def _terrain(rng: Rng, size: tuple[int, int]) -> tuple[Image, Colour]:
    """Return land with woods, heights and water, and the colour of the water."""
    land = rng.hsv(rng.uniform(0.1, 0.3), (0.03, 0.2), (0.86, 0.97))
    green = rng.hsv(rng.uniform(0.25, 0.38), (0.15, 0.4), (0.7, 0.9))
    water = rng.hsv(rng.uniform(0.52, 0.62), (0.2, 0.6), (0.65, 0.95))
    height = fractal_noise(rng, size, cells=rng.uniform(1.5, 4), count=5, fall=0.45)
    image = np.empty((*size, 3), np.float32)
    image[:] = land
    woods = fractal_noise(rng, size, cells=rng.uniform(3, 7), count=4, fall=0.5)
    _tint(image, woods - rng.uniform(0.1, 0.6), green, sharpness=12)
    if rng.chance(0.5):  # heights as steps of colour and contour lines
        steps = height * rng.uniform(3, 8)
        slope = np.hypot(*np.gradient(steps)) + 1e-4 if min(size) > 1 else np.ones(size)
        image *= (1 - 0.06 * np.floor(steps)[..., None]).clip(0.6, 1.1)
        cover = np.clip(0.9 - np.abs((steps + 0.5) % 1 - 0.5) / slope, 0, 1)
        cover = cover * rng.uniform(0.3, 0.8)
        brown = np.asarray(rng.hsv(0.08, (0.4, 0.7), (0.4, 0.6)), np.float32)
        image += cover[..., None] * (brown - image)
    _tint(image, -height - rng.uniform(0.2, 0.9), water, sharpness=max(size) / 8)
    return image, water


def _tint(image: Image, level: Image, colour: Colour, *, sharpness: float) -> None:
    """Colour an image in place where ``level`` is above 0."""
    share = np.clip(0.5 + level * sharpness, 0, 1)[..., None]
    image += share * (np.asarray(colour, np.float32) - image)


def _road(rng: Rng, canvas: Canvas) -> Image:
    """Return a winding line across the sheet."""
    turn = rng.uniform(0, 2 * np.pi)
    along = np.array([np.cos(turn), np.sin(turn)])
    across = np.array([-along[1], along[0]])
    t = np.linspace(-1, 1, 60)[:, None] * np.hypot(canvas.width, canvas.height) * 0.6
    wind = fractal_noise(rng, (1, 60), cells=rng.uniform(1, 4), count=3)[0][:, None]
    middle = np.array([canvas.width, canvas.height]) / 2
    start = middle + across * canvas.unit * rng.uniform(-0.5, 0.5)
    return np.asarray(start + along * t + across * wind * canvas.unit * rng.uniform(0.02, 0.2))


def _blocks(rng: Rng, canvas: Canvas, casing: Colour, water: Colour) -> None:
    """Draw houses along a grid of streets, none in the water."""
    wet = np.asarray(water) * 255
    turn = rng.uniform(-0.6, 0.6)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    pitch = canvas.unit * rng.uniform(0.06, 0.16)
    centre = np.array([rng.uniform(0.2, 0.8) * canvas.width, rng.uniform(0.2, 0.8) * canvas.height])
    half = rng.integer(2, 5)
    roofs = rng.hsv(rng.uniform(0.0, 0.12), (0.05, 0.35), (0.72, 0.88))
    for i in range(-half, half):
        for j in range(-half, half):
            if rng.chance(0.12):
                continue
            w, h = rng.uniform(0.6, 0.85), rng.uniform(0.6, 0.85)
            corners = np.array([(0, 0), (w, 0), (w, h), (0, h)]) + np.array([i, 1.3 * j])
            points = corners @ rotation * pitch + centre
            x, y = points.mean(axis=0).astype(int)
            if not (0 <= x < canvas.width and 0 <= y < canvas.height):
                continue
            if np.abs(canvas.pixels[y, x] - wet).max() < 12:
                continue
            canvas.polygon(points, roofs)
            canvas.line(points, casing, 1, closed=True)


def _names(rng: Rng, canvas: Canvas) -> Colour:
    """Write names of places, some with a dot before them, and return the ink."""
    family = rng.pick(FAMILIES)
    ink = rng.ink()
    for _ in range(rng.integer(3, 14)):
        size = canvas.unit * rng.logarithmic(0.025, 0.08)
        name = sentence(rng, 1, 2)
        if rng.chance(0.2):
            name = name.upper()
        x, y = rng.uniform(0, 0.9) * canvas.width, rng.uniform(0.05, 1) * canvas.height
        if rng.chance(0.5):
            r = size * 0.22
            dot = (x - 2 * r, y - 0.3 * size)
            canvas.ellipse(dot, (r, r), ink, width=rng.pick((-1, r * 0.5)))
        font = rng.pick((family.regular, family.bold, family.italic))
        canvas.text(x, y, name, font, size, ink)
    return ink


def _border(canvas: Canvas, edge: float, ink: Colour) -> None:
    """Draw a white margin and a line around the map."""
    width, height, white = canvas.width, canvas.height, (0.98, 0.97, 0.94)
    canvas.box(0, 0, width, edge, white)
    canvas.box(0, height - edge, width, height, white)
    canvas.box(0, 0, edge, height, white)
    canvas.box(width - edge, 0, width, height, white)
    canvas.outline(edge, edge, width - edge, height - edge, ink, 2)
