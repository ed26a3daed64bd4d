"""Facades with rows of windows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from diar_ops.textures._procedural.canvas import Canvas, Image
from diar_ops.textures._procedural.fonts import FAMILIES, text_width
from diar_ops.textures._procedural.fractal import fractal_noise
from diar_ops.textures._procedural.rng import BLACK, WHITE, Colour, Rng, mix
from diar_ops.textures._procedural.words import sentence

RAILING: Colour = (0.12, 0.12, 0.13)


class _Style(NamedTuple):
    """What all windows of a facade share."""

    glass: Colour
    frame: Colour
    trim: Colour
    shade: Colour
    shutters: Colour | None
    panes: tuple[int, int]
    arched: bool
    modern: bool


def facade(rng: Rng, size: tuple[int, int]) -> Image:
    """Return the front of a house: wall, rows of windows, cornices, a door."""
    wall = rng.hsv(rng.uniform(0.0, 0.15), (0.05, 0.5), (0.5, 0.95))
    frame = rng.pick(((0.95, 0.95, 0.93), rng.hsv(0.08, (0.4, 0.7), (0.25, 0.5)), (0.15, 0.16, 0.17)))
    plaster = fractal_noise(rng, size, cells=rng.uniform(2, 6), count=7, fall=0.7)
    canvas = Canvas(size, np.asarray(wall, np.float32) * (1 + 0.07 * plaster[..., None]))
    modern = rng.chance(0.3)
    if not modern and rng.chance(0.5):
        _bricks(rng, canvas, wall)
    columns, rows = rng.integer(3, 9), rng.integer(2, 7)
    left, right = canvas.width * rng.uniform(0.0, 0.06), canvas.width * rng.uniform(0.94, 1.0)
    top = canvas.height * rng.uniform(0.02, 0.12)
    shop = rng.chance(0.4)
    bottom = canvas.height * (rng.uniform(0.72, 0.8) if shop else rng.uniform(0.92, 1.0))
    width, height = (right - left) / columns, (bottom - top) / rows
    w = width * (rng.uniform(0.7, 0.92) if modern else rng.uniform(0.35, 0.65))
    h = height * (rng.uniform(0.5, 0.85) if modern else rng.uniform(0.5, 0.75))
    arched = not modern and rng.chance(0.2)
    panes = rng.pick(((1, 1), (2, 1), (2, 2), (2, 3), (3, 4)))
    shutters = rng.hsv(None, (0.3, 0.8), (0.2, 0.6)) if not modern and rng.chance(0.3) else None
    balconies = rng.chance(0.25)
    style = _Style(
        glass=rng.hsv(rng.uniform(0.5, 0.65), (0.05, 0.4), (0.1, 0.45)),
        frame=frame,
        trim=mix(wall, WHITE, 0.5),
        shade=mix(wall, BLACK, 0.55),
        shutters=shutters,
        panes=panes,
        arched=arched,
        modern=modern,
    )
    for i in range(rows):
        y = top + (i + 0.5) * height - h / 2
        if not modern and rng.chance(0.7):  # a cornice
            line = top + (i + 1) * height - 0.04 * height
            canvas.box(0, line, canvas.width, line + 0.05 * height, style.trim)
            shadow = line + 0.05 * height, line + 0.07 * height
            canvas.box(0, shadow[0], canvas.width, shadow[1], style.shade)
        for j in range(columns):
            x = left + (j + 0.5) * width - w / 2
            _window_bay(rng, canvas, (x, y, w, h), style, balcony=balconies and (j + i) % 2 == 1)
    if shop:
        _shop(rng, canvas, bottom, style)
    if rng.chance(0.5):  # the eaves' shadow
        rows_below = np.arange(canvas.height) - top * 0.8
        shade = 1 - 0.35 * np.clip(1 - rows_below / (0.12 * canvas.height), 0, 1)
        canvas.pixels[:] = (canvas.pixels * shade[:, None, None]).astype(np.uint8)
    return canvas.finish()


def _bricks(rng: Rng, canvas: Canvas, wall: Colour) -> None:
    height = max(4.0, canvas.unit * rng.uniform(0.012, 0.03))
    width = height * 2.6
    mortar = mix(wall, (0.75, 0.75, 0.75), 0.4)
    rows = np.arange(0, canvas.height, height)
    lines: list[Any] = [[(0, y), (canvas.width, y)] for y in rows]
    for i, y in enumerate(rows):
        joints = np.arange(width / 2 * (i % 2), canvas.width, width)
        lines += [[(x, y), (x, y + height)] for x in joints]
    canvas.lines(lines, mortar, 1)


def _window_bay(
    rng: Rng, canvas: Canvas, box: tuple[float, float, float, float], style: _Style, *, balcony: bool
) -> None:
    """Draw a window (left, top, width, height) with its shutters, its sill and a balcony."""
    x, y, w, h = box
    _window(rng, canvas, (x, y, x + w, y + h), style)
    if style.shutters is not None:
        for left in (x - 0.5 * w, x + w):
            right = left + 0.48 * w
            canvas.box(left, y, right, y + h, style.shutters)
            slats = np.arange(y, y + h, max(3.0, h / 12))
            lines = [[(left, slat), (right, slat)] for slat in slats]
            canvas.lines(lines, mix(style.shutters, BLACK, 0.25), 1)
    if not style.modern:
        left, right, sill = x - 0.08 * w, x + 1.08 * w, 0.06 * h
        canvas.box(left, y + h, right, y + h + sill, style.trim)
        canvas.box(left, y + h + sill, right, y + h + 1.7 * sill, style.shade)
    if balcony:
        bars = np.arange(x - 0.1 * w, x + 1.1 * w, max(4.0, w / 10))
        lines = [[(bar, y + 0.55 * h), (bar, y + 1.1 * h)] for bar in bars]
        canvas.lines(lines, RAILING, max(1.0, w / 60))
        left, right = x - 0.12 * w, x + 1.12 * w
        canvas.box(left, y + 0.53 * h, right, y + 0.57 * h, RAILING)
        canvas.box(left, y + 1.08 * h, right, y + 1.16 * h, style.shade)


def _window(rng: Rng, canvas: Canvas, box: tuple[float, float, float, float], style: _Style) -> None:
    """Draw a window (left, top, right, bottom): frame, glass, what shows in it, bars."""
    x0, y0, x1, y1 = box
    w, h = x1 - x0, y1 - y0
    edge = max(1.0, 0.06 * w)
    pane = mix(style.glass, rng.pick((BLACK, WHITE)), rng.uniform(0, 0.25))
    if style.arched:
        centre = (x0 + x1) / 2, y0
        canvas.ellipse(centre, (w / 2 + edge, w / 2 + edge), style.frame, arc=(180, 360))
        canvas.ellipse(centre, (w / 2, w / 2), pane, arc=(180, 360))
    above = 0 if style.arched else edge
    canvas.box(x0 - edge, y0 - above, x1 + edge, y1 + edge, style.frame)
    canvas.box(x0, y0, x1, y1, pane)
    roll = rng.uniform(0, 1)
    if roll < 0.35:  # the sky in the glass
        bright = mix(pane, (0.75, 0.75, 0.75), 0.6)
        a, b = x0 + w * rng.uniform(0.1, 0.6), w * rng.uniform(0.1, 0.35)
        top, low = min(x1, a + b + 0.3 * w), min(x1, a + b)
        canvas.polygon([(min(x1, a + 0.3 * w), y0), (top, y0), (low, y1), (a, y1)], bright)
    elif roll < 0.6:  # curtains, or a blind
        cloth = rng.hsv(None, (0.0, 0.25), (0.6, 0.95))
        if rng.chance(0.5):
            canvas.box(x0, y0, x1, y0 + h * rng.uniform(0.2, 0.8), cloth)
        else:
            canvas.box(x0, y0, x0 + w * 0.22, y1, cloth)
            canvas.box(x1 - w * 0.22, y0, x1, y1, cloth)
    bar = max(1.0, 0.035 * w)
    columns, rows = style.panes
    for i in range(1, columns):
        x = x0 + w * i / columns
        canvas.box(x - bar / 2, y0, x + bar / 2, y1, style.frame)
    for i in range(1, rows):
        y = y0 + h * i / rows
        canvas.box(x0, y - bar / 2, x1, y + bar / 2, style.frame)


def _shop(rng: Rng, canvas: Canvas, top: float, style: _Style) -> None:
    """Draw shop windows, a sign and a door at street level."""
    colour = rng.hsv(None, (0.3, 0.9), (0.2, 0.7))
    sign = (canvas.height - top) * 0.28
    canvas.box(0, top, canvas.width, canvas.height, colour)
    size, text, font = sign * 0.8, sentence(rng, 1, 2), rng.pick(FAMILIES).bold
    x = (canvas.width - text_width(font, size, text)) * rng.uniform(0.1, 0.9)
    canvas.text(x, top + 0.8 * sign, text, font, size, (0.97, 0.96, 0.9))
    count = rng.integer(2, 5)
    width = canvas.width / count
    door = rng.integer(0, count - 1)
    for i in range(count):
        bottom = canvas.height if i == door else canvas.height - 0.2 * sign
        box = (i + 0.1) * width, top + 1.2 * sign, (i + 0.9) * width, bottom
        panes = (2, 1) if i == door else (1, 1)
        _window(rng, canvas, box, style._replace(panes=panes, arched=False))
