"""Posters: large type, coloured shapes, gradients."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from diar_ops.textures._kinds.canvas import Canvas, Image
from diar_ops.textures._kinds.dice import Colour, Dice, luminance
from diar_ops.textures._kinds.fonts import DISPLAY, FAMILIES, put_text, text_width
from diar_ops.textures._kinds.patterns import gradient, noise, picture
from diar_ops.textures._kinds.words import sentence, vocabulary

__all__ = ["poster"]


def poster(dice: Dice, size: tuple[int, int]) -> Image:
    """Return an announcement: shapes or a picture, a title, small print."""
    colours = dice.palette(5)
    ground = dice.pick(("flat", "flat", "flat", "gradient", "picture", "noise"))
    if ground == "gradient":
        canvas = Canvas(size, gradient(dice, size))
    elif ground == "noise":
        canvas = Canvas(size, noise(dice, size))
    else:
        canvas = Canvas(size, dice.pick((colours[0], colours[4], colours[4], dice.paper())))
        if ground == "picture":
            top = dice.pick((0.0, 0.0, 0.25, 0.4))
            share = dice.uniform(0.5, 1.0 - top)
            wide, high = size[1], max(2, round(size[0] * share))
            y = round(top * canvas.height)
            canvas.paste(picture(dice, (high, wide)), 0, y, canvas.width, y + 2 * high)
    for _ in range(dice.pick((0, 1, 2, 3)) if ground != "flat" else dice.integer(1, 5)):
        dice.pick((_discs, _stripes, _polygons, _blocks, _rays, _dots))(dice, canvas, colours)
    margin = canvas.unit * dice.uniform(0.04, 0.1)
    ends = _title(dice, canvas, colours, margin)
    _small_print(dice, canvas, colours, margin, ends)
    if dice.chance(0.25):
        edge = canvas.unit * dice.uniform(0.01, 0.04)
        frame = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float32)
        frame = frame * (canvas.width - 2 * edge, canvas.height - 2 * edge) + edge
        canvas.line(frame, dice.pick(colours), edge * dice.uniform(0.3, 1.2), closed=True)
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
    far = [colour for colour in choices if abs(luminance(colour) - mean) > 0.35]
    return far[0] if far else max(choices, key=lambda colour: abs(luminance(colour) - mean))


def _title(dice: Dice, canvas: Canvas, colours: list[Colour], margin: float) -> tuple[float, float]:
    """Set one to five lines of large type; returns their top and bottom."""
    font = dice.pick(DISPLAY)
    every = vocabulary()
    lines = [
        " ".join(dice.pick(every) for _ in range(dice.pick((1, 1, 1, 2))))
        for _ in range(dice.pick((1, 1, 2, 2, 3, 4)))
    ]
    if dice.chance(0.15):
        lines[-1] = str(dice.integer(1, 2050))
    case = dice.pick((str.upper, str.upper, str.capitalize, str.lower))
    lines = [case(line) for line in lines]
    room = canvas.width - 2 * margin
    fitted = dice.chance(0.5)  # every line as wide as the poster
    share = dice.uniform(0.5, 1.0)
    sizes = [100 * share * room / max(1.0, text_width(font, 100, line)) for line in lines]
    if not fitted:
        sizes = [min(sizes)] * len(lines)
    tight = dice.uniform(0.85, 1.05)
    total = tight * sum(sizes)
    limit = canvas.height * dice.uniform(0.3, 0.8)
    if total > limit:
        sizes = [size * limit / total for size in sizes]
        total = limit
    top = margin + dice.pick((0.0, 0.0, 0.5, 1.0)) * max(0.0, canvas.height - 2 * margin - total)
    colours = list(colours)
    dice.rng.shuffle(colours)
    ink = _readable(canvas, colours, (margin, top, canvas.width - margin, top + total))
    shadow = dice.chance(0.15)
    centred = dice.chance(0.4)
    y = top
    for line, size in zip(lines, sizes, strict=True):
        wide = text_width(font, size, line)
        x = margin + (room - wide) / 2 if centred else margin
        y += tight * size
        if shadow:
            off = size * 0.05
            put_text(
                canvas.layer((0.05, 0.05, 0.05)), x + off, y - 0.15 * size + off, font, size, line
            )
        put_text(canvas.layer(ink), x, y - 0.15 * size, font, size, line)
    return top, y


def _small_print(
    dice: Dice, canvas: Canvas, colours: list[Colour], margin: float, ends: tuple[float, float]
) -> None:
    """Set date and place, a line of sponsors, a bar."""
    family = dice.pick(FAMILIES)
    size = canvas.unit * dice.logarithmic(0.025, 0.07)
    above, below = ends[0], canvas.height - ends[1]
    y = ends[1] + 1.5 * size if below > above else max(size, ends[0] - 5 * size)
    for _ in range(dice.integer(0, 4)):
        if y > canvas.height - margin or (below <= above and y > ends[0]):
            break
        text = dice.pick(
            (
                sentence(dice, 2, 6),
                f"{dice.integer(1, 31)}.{dice.integer(1, 12)}.{dice.integer(1950, 2030)}",
            )
        )
        ink = _readable(canvas, colours, (margin, y - size, canvas.width / 2, y))
        put_text(canvas.layer(ink), margin, y, dice.pick((family.bold, family.regular)), size, text)
        y += 1.3 * size
    if dice.chance(0.4):
        high = size * 2
        bar = dice.pick(colours)
        canvas.box(0, canvas.height - high, canvas.width, canvas.height, bar)
        ink = _readable(canvas, colours, (0, canvas.height - high, canvas.width, canvas.height))
        put_text(
            canvas.layer(ink),
            margin,
            canvas.height - 0.7 * size,
            family.regular,
            0.8 * size,
            sentence(dice, 3, 9),
        )


def _place(dice: Dice, canvas: Canvas) -> tuple[float, float]:
    return dice.uniform(-0.1, 1.1) * canvas.width, dice.uniform(-0.1, 1.1) * canvas.height


def _discs(dice: Dice, canvas: Canvas, colours: list[Colour]) -> None:
    centre = _place(dice, canvas)
    radius = canvas.unit * dice.logarithmic(0.1, 0.6)
    rings = dice.pick((1, 1, 2, 4, 7))
    pair = dice.pick(colours), dice.pick(colours)
    for ring in range(rings):
        now = radius * (1 - ring / rings)
        canvas.ellipse(centre, (now, now), pair[ring % 2])


def _stripes(dice: Dice, canvas: Canvas, colours: list[Colour]) -> None:
    turn = dice.pick((0.0, np.pi / 2, np.pi / 4, dice.uniform(0, np.pi)))
    along = np.array([np.cos(turn), np.sin(turn)]) * (canvas.width + canvas.height)
    across = np.array([-np.sin(turn), np.cos(turn)])
    pitch = canvas.unit * dice.logarithmic(0.03, 0.2)
    wide = pitch * dice.uniform(0.2, 0.8)
    start = np.array(_place(dice, canvas))
    colour = dice.pick(colours)
    for i in range(dice.integer(1, 9)):
        a = start + across * i * pitch
        b = a + across * wide
        canvas.polygon([a - along, a + along, b + along, b - along], colour)


def _polygons(dice: Dice, canvas: Canvas, colours: list[Colour]) -> None:
    for _ in range(dice.integer(1, 6)):
        corners = dice.integer(3, 6)
        angles = np.sort(dice.array(corners)) * 2 * np.pi
        radius = canvas.unit * dice.logarithmic(0.1, 0.5) * dice.array(corners, low=0.7, high=1.0)
        shape = np.stack((np.cos(angles) * radius, np.sin(angles) * radius), 1)
        canvas.polygon(shape + _place(dice, canvas), dice.pick(colours))


def _blocks(dice: Dice, canvas: Canvas, colours: list[Colour]) -> None:
    """Divide the sheet by a few lines and fill some of the cells."""
    xs = np.sort(np.r_[0, dice.array(dice.integer(1, 3)), 1]) * canvas.width
    ys = np.sort(np.r_[0, dice.array(dice.integer(1, 3)), 1]) * canvas.height
    edge = dice.pick((0.0, canvas.unit * 0.02))
    for x0, x1 in pairwise(xs):
        for y0, y1 in pairwise(ys):
            if dice.chance(0.6):
                canvas.box(x0 + edge, y0 + edge, x1 - edge, y1 - edge, dice.pick(colours))


def _rays(dice: Dice, canvas: Canvas, colours: list[Colour]) -> None:
    centre = np.array(_place(dice, canvas))
    count = dice.integer(6, 24)
    colour = dice.pick(colours)
    far = canvas.width + canvas.height
    for i in range(count):
        a, b = 2 * np.pi * i / count, 2 * np.pi * (i + 0.5) / count
        ends = [(np.cos(t) * far, np.sin(t) * far) for t in (a, b)]
        canvas.polygon(np.array([(0, 0), *ends]) + centre, colour)


def _dots(dice: Dice, canvas: Canvas, colours: list[Colour]) -> None:
    """Draw a halftone that fades out."""
    pitch = canvas.unit * dice.logarithmic(0.03, 0.1)
    colour = dice.pick(colours)
    start = _place(dice, canvas)
    wide, high = dice.integer(4, 16), dice.integer(4, 16)
    for i in range(high):
        for j in range(wide):
            radius = pitch * 0.5 * (1 - i / high)
            canvas.ellipse((start[0] + j * pitch, start[1] + i * pitch), (radius, radius), colour)
