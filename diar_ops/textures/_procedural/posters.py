"""Posters: large type, coloured shapes, gradients."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from diar_ops.textures._procedural.canvas import Canvas, Image
from diar_ops.textures._procedural.fonts import DISPLAY, FAMILIES, text_width
from diar_ops.textures._procedural.materials import material
from diar_ops.textures._procedural.patterns import gradient, landscape
from diar_ops.textures._procedural.rng import Colour, Rng, luminance
from diar_ops.textures._procedural.words import sentence, vocabulary


def poster(rng: Rng, size: tuple[int, int]) -> Image:
    """Return an announcement: shapes or a picture, a title, small print."""
    colours = rng.palette(5)
    ground = rng.pick(("flat", "flat", "flat", "gradient", "picture", "noise"))
    if ground == "gradient":
        canvas = Canvas(size, gradient(rng, size))
    elif ground == "noise":
        canvas = Canvas(size, material(rng, size))
    else:
        canvas = Canvas(size, rng.pick((colours[0], colours[4], colours[4], rng.paper())))
        if ground == "picture":
            top = rng.pick((0.0, 0.0, 0.25, 0.4))
            share = rng.uniform(0.5, 1.0 - top)
            height = max(2, round(size[0] * share))
            y = round(top * canvas.height)
            canvas.paste(landscape(rng, (height, size[1])), 0, y, canvas.width, y + 2 * height)
    for _ in range(rng.pick((0, 1, 2, 3)) if ground != "flat" else rng.integer(1, 5)):
        rng.pick((_discs, _stripes, _polygons, _blocks, _rays, _dots))(rng, canvas, colours)
    margin = canvas.unit * rng.uniform(0.04, 0.1)
    ends = _title(rng, canvas, colours, margin)
    _small_print(rng, canvas, colours, margin, ends)
    if rng.chance(0.25):
        edge = canvas.unit * rng.uniform(0.01, 0.04)
        right, bottom = canvas.width - edge, canvas.height - edge
        colour, line = rng.pick(colours), edge * rng.uniform(0.3, 1.2)
        canvas.outline(edge, edge, right, bottom, colour, line)
    return canvas.finish()


def _readable(canvas: Canvas, colours: list[Colour], box: tuple[float, ...]) -> Colour:
    """Return the colour that stands out most from what is in a box (left, top, right, bottom)."""
    left, top, right, bottom = (max(0, round(edge)) for edge in box)
    below = canvas.pixels[top : max(top + 1, bottom) : 4, left : max(left + 1, right) : 4]
    if not below.size:
        return colours[0]
    r, g, b = (float(v) / 255 for v in below.reshape(-1, 3).mean(axis=0))
    mean = luminance((r, g, b))
    choices = [*colours, (1.0, 1.0, 1.0), (0.05, 0.05, 0.06)]
    distinct = [colour for colour in choices if abs(luminance(colour) - mean) > 0.35]
    if distinct:
        return distinct[0]
    return max(choices, key=lambda colour: abs(luminance(colour) - mean))


def _title(rng: Rng, canvas: Canvas, colours: list[Colour], margin: float) -> tuple[float, float]:
    """Set one to four lines of large type, and return their top and bottom."""
    font = rng.pick(DISPLAY)
    words = vocabulary()
    lines = [
        " ".join(rng.pick(words) for _ in range(rng.pick((1, 1, 1, 2)))) for _ in range(rng.pick((1, 1, 2, 2, 3, 4)))
    ]
    if rng.chance(0.15):
        lines[-1] = str(rng.integer(1, 2050))
    case = rng.pick((str.upper, str.upper, str.capitalize, str.lower))
    lines = [case(line) for line in lines]
    room = canvas.width - 2 * margin
    fitted = rng.chance(0.5)  # every line as wide as the poster
    share = rng.uniform(0.5, 1.0)
    sizes = [100 * share * room / max(1.0, text_width(font, 100, line)) for line in lines]
    if not fitted:
        sizes = [min(sizes)] * len(lines)
    tight = rng.uniform(0.85, 1.05)
    total = tight * sum(sizes)
    limit = canvas.height * rng.uniform(0.3, 0.8)
    if total > limit:
        sizes = [size * limit / total for size in sizes]
        total = limit
    top = margin + rng.pick((0.0, 0.0, 0.5, 1.0)) * max(0.0, canvas.height - 2 * margin - total)
    colours = list(colours)
    rng.shuffle(colours)
    ink = _readable(canvas, colours, (margin, top, canvas.width - margin, top + total))
    shadow = rng.chance(0.15)
    centred = rng.chance(0.4)
    y = top
    for line, size in zip(lines, sizes, strict=True):
        x = margin + (room - text_width(font, size, line)) / 2 if centred else margin
        y += tight * size
        if shadow:
            offset = size * 0.05
            baseline = y - 0.15 * size + offset
            canvas.text(x + offset, baseline, line, font, size, (0.05, 0.05, 0.05))
        canvas.text(x, y - 0.15 * size, line, font, size, ink)
    return top, y


def _small_print(rng: Rng, canvas: Canvas, colours: list[Colour], margin: float, ends: tuple[float, float]) -> None:
    """Set date and place, a line of sponsors, a bar."""
    family = rng.pick(FAMILIES)
    size = canvas.unit * rng.logarithmic(0.025, 0.07)
    above, below = ends[0], canvas.height - ends[1]
    y = ends[1] + 1.5 * size if below > above else max(size, ends[0] - 5 * size)
    for _ in range(rng.integer(0, 4)):
        if y > canvas.height - margin or (below <= above and y > ends[0]):
            break
        place = sentence(rng, 2, 6)
        date = f"{rng.integer(1, 31)}.{rng.integer(1, 12)}.{rng.integer(1950, 2030)}"
        text = rng.pick((place, date))
        ink = _readable(canvas, colours, (margin, y - size, canvas.width / 2, y))
        canvas.text(margin, y, text, rng.pick((family.bold, family.regular)), size, ink)
        y += 1.3 * size
    if rng.chance(0.4):
        bar = (0, canvas.height - size * 2, canvas.width, canvas.height)
        canvas.box(*bar, rng.pick(colours))
        ink = _readable(canvas, colours, bar)
        baseline, text = canvas.height - 0.7 * size, sentence(rng, 3, 9)
        canvas.text(margin, baseline, text, family.regular, 0.8 * size, ink)


def _random_point(rng: Rng, canvas: Canvas) -> tuple[float, float]:
    return rng.uniform(-0.1, 1.1) * canvas.width, rng.uniform(-0.1, 1.1) * canvas.height


def _discs(rng: Rng, canvas: Canvas, colours: list[Colour]) -> None:
    centre = _random_point(rng, canvas)
    radius = canvas.unit * rng.logarithmic(0.1, 0.6)
    rings = rng.pick((1, 1, 2, 4, 7))
    pair = rng.pick(colours), rng.pick(colours)
    for ring in range(rings):
        r = radius * (1 - ring / rings)
        canvas.ellipse(centre, (r, r), pair[ring % 2])


def _stripes(rng: Rng, canvas: Canvas, colours: list[Colour]) -> None:
    turn = rng.pick((0.0, np.pi / 2, np.pi / 4, rng.uniform(0, np.pi)))
    along = np.array([np.cos(turn), np.sin(turn)]) * (canvas.width + canvas.height)
    across = np.array([-np.sin(turn), np.cos(turn)])
    pitch = canvas.unit * rng.logarithmic(0.03, 0.2)
    width = pitch * rng.uniform(0.2, 0.8)
    start = np.array(_random_point(rng, canvas))
    colour = rng.pick(colours)
    for i in range(rng.integer(1, 9)):
        a = start + across * i * pitch
        b = a + across * width
        canvas.polygon([a - along, a + along, b + along, b - along], colour)


def _polygons(rng: Rng, canvas: Canvas, colours: list[Colour]) -> None:
    for _ in range(rng.integer(1, 6)):
        corners = rng.integer(3, 6)
        angles = np.sort(rng.array(corners)) * 2 * np.pi
        radius = canvas.unit * rng.logarithmic(0.1, 0.5) * rng.array(corners, low=0.7, high=1.0)
        shape = np.stack((np.cos(angles) * radius, np.sin(angles) * radius), 1)
        canvas.polygon(shape + _random_point(rng, canvas), rng.pick(colours))


def _blocks(rng: Rng, canvas: Canvas, colours: list[Colour]) -> None:
    """Divide the sheet by a few lines and fill some of the cells."""
    xs = np.sort(np.r_[0, rng.array(rng.integer(1, 3)), 1]) * canvas.width
    ys = np.sort(np.r_[0, rng.array(rng.integer(1, 3)), 1]) * canvas.height
    edge = rng.pick((0.0, canvas.unit * 0.02))
    for x0, x1 in pairwise(xs):
        for y0, y1 in pairwise(ys):
            if rng.chance(0.6):
                canvas.box(x0 + edge, y0 + edge, x1 - edge, y1 - edge, rng.pick(colours))


def _rays(rng: Rng, canvas: Canvas, colours: list[Colour]) -> None:
    centre = np.array(_random_point(rng, canvas))
    count = rng.integer(6, 24)
    colour = rng.pick(colours)
    reach = canvas.width + canvas.height
    for i in range(count):
        a, b = 2 * np.pi * i / count, 2 * np.pi * (i + 0.5) / count
        ends = [(np.cos(t) * reach, np.sin(t) * reach) for t in (a, b)]
        canvas.polygon(np.array([(0, 0), *ends]) + centre, colour)


def _dots(rng: Rng, canvas: Canvas, colours: list[Colour]) -> None:
    """Draw a halftone that fades out."""
    pitch = canvas.unit * rng.logarithmic(0.03, 0.1)
    colour = rng.pick(colours)
    start = _random_point(rng, canvas)
    columns, rows = rng.integer(4, 16), rng.integer(4, 16)
    for i in range(rows):
        for j in range(columns):
            radius = pitch * 0.5 * (1 - i / rows)
            canvas.ellipse((start[0] + j * pitch, start[1] + i * pitch), (radius, radius), colour)
