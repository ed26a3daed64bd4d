"""Maps, and facades with rows of windows."""

from __future__ import annotations

from typing import Any

import numpy as np

from diar_ops.textures._kinds.canvas import Canvas, Image, octaves
from diar_ops.textures._kinds.dice import BLACK, WHITE, Colour, Dice, mix
from diar_ops.textures._kinds.fonts import FAMILIES, put_text, text_width
from diar_ops.textures._kinds.words import sentence

__all__ = ["facade", "map_sheet"]


def map_sheet(dice: Dice, size: tuple[int, int]) -> Image:
    """Return a map: land, water, heights, roads, blocks of houses, names."""
    land = dice.hsv(dice.uniform(0.1, 0.3), (0.03, 0.2), (0.86, 0.97))
    green = dice.hsv(dice.uniform(0.25, 0.38), (0.15, 0.4), (0.7, 0.9))
    water = dice.hsv(dice.uniform(0.52, 0.62), (0.2, 0.6), (0.65, 0.95))
    height = octaves(dice.rng, size, cells=dice.uniform(1.5, 4), count=5, fall=0.45)
    image = np.empty((*size, 3), np.float32)
    image[:] = land
    woods = octaves(dice.rng, size, cells=dice.uniform(3, 7), count=4, fall=0.5)
    _tint(image, woods - dice.uniform(0.1, 0.6), green, sharp=12)
    if dice.chance(0.5):  # heights as steps of colour and lines
        fine = height * dice.uniform(3, 8)
        slope = np.hypot(*np.gradient(fine)) + 1e-4 if min(size) > 1 else np.ones(size)
        image *= (1 - 0.06 * np.floor(fine)[..., None]).clip(0.6, 1.1)
        cover = np.clip(0.9 - np.abs((fine + 0.5) % 1 - 0.5) / slope, 0, 1) * dice.uniform(0.3, 0.8)
        image += cover[..., None] * (
            np.asarray(dice.hsv(0.08, (0.4, 0.7), (0.4, 0.6)), np.float32) - image
        )
    shore = -height - dice.uniform(0.2, 0.9)
    _tint(image, shore, water, sharp=max(size) / 8)
    canvas = Canvas(size, image.clip(0, 1))
    middle = np.array([canvas.width, canvas.height]) / 2
    casing, fill = (
        dice.hsv(0.1, (0.0, 0.3), (0.4, 0.7)),
        dice.pick(((1.0, 1.0, 1.0), (1.0, 0.93, 0.6))),
    )
    if dice.chance(0.6):
        _blocks(dice, canvas, casing, water)
    for width in dice.pick(((0.02, 0.012, 0.007), (0.014, 0.008), (0.02, 0.02, 0.008, 0.008))):
        roads = [_road(dice, canvas, middle) for _ in range(dice.integer(1, 4))]
        canvas.lines(roads, casing, canvas.unit * width * 1.35 + 2)
        colour = (
            fill if width < 0.015 else dice.hsv(dice.uniform(0.0, 0.14), (0.4, 0.7), (0.9, 1.0))
        )
        canvas.lines(roads, colour, canvas.unit * width)
    if dice.chance(0.4):
        grid = canvas.unit / dice.integer(3, 6)
        rows = [[(0, y), (canvas.width, y)] for y in np.arange(grid / 2, canvas.height, grid)]
        columns = [[(x, 0), (x, canvas.height)] for x in np.arange(grid / 2, canvas.width, grid)]
        canvas.lines(rows + columns, dice.hsv(0.6, (0.2, 0.5), (0.5, 0.7)), 1)
    family = dice.pick(FAMILIES)
    ink = dice.ink()
    for _ in range(dice.integer(3, 14)):
        size_of_name = canvas.unit * dice.logarithmic(0.025, 0.08)
        name = sentence(dice, 1, 2)
        if dice.chance(0.2):
            name = name.upper()
        x, y = dice.uniform(0, 0.9) * canvas.width, dice.uniform(0.05, 1) * canvas.height
        if dice.chance(0.5):
            r = size_of_name * 0.22
            canvas.ellipse(
                (x - 2 * r, y - 0.3 * size_of_name), (r, r), ink, width=dice.pick((-1, r * 0.5))
            )
        font = dice.pick((family.regular, family.bold, family.italic))
        put_text(canvas.layer(ink), x, y, font, size_of_name, name)
    if dice.chance(0.3):
        edge = canvas.unit * dice.uniform(0.02, 0.05)
        for left, top, right, bottom in (
            (0, 0, canvas.width, edge),
            (0, canvas.height - edge, canvas.width, canvas.height),
            (0, 0, edge, canvas.height),
            (canvas.width - edge, 0, canvas.width, canvas.height),
        ):
            canvas.box(left, top, right, bottom, (0.98, 0.97, 0.94))
        frame = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float32)
        canvas.line(
            frame * (canvas.width - 2 * edge, canvas.height - 2 * edge) + edge, ink, 2, closed=True
        )
    return canvas.finish()


def _tint(image: Image, level: Image, colour: Colour, *, sharp: float) -> None:
    share = np.clip(0.5 + level * sharp, 0, 1)[..., None]
    image += share * (np.asarray(colour, np.float32) - image)


def _road(dice: Dice, canvas: Canvas, middle: Image) -> Image:
    """Return a winding line across the sheet."""
    turn = dice.uniform(0, 2 * np.pi)
    along = np.array([np.cos(turn), np.sin(turn)])
    across = np.array([-along[1], along[0]])
    t = np.linspace(-1, 1, 60)[:, None] * np.hypot(canvas.width, canvas.height) * 0.6
    wind = octaves(dice.rng, (1, 60), cells=dice.uniform(1, 4), count=3)[0][:, None]
    start = middle + across * canvas.unit * dice.uniform(-0.5, 0.5)
    return np.asarray(start + along * t + across * wind * canvas.unit * dice.uniform(0.02, 0.2))


def _blocks(dice: Dice, canvas: Canvas, casing: Colour, water: Colour) -> None:
    """Draw streets in a grid, houses between them, none in the water."""
    wet = np.asarray(water) * 255
    turn = dice.uniform(-0.6, 0.6)
    rotate = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    pitch = canvas.unit * dice.uniform(0.06, 0.16)
    centre = np.array(
        [dice.uniform(0.2, 0.8) * canvas.width, dice.uniform(0.2, 0.8) * canvas.height]
    )
    half = dice.integer(2, 5)
    roofs = dice.hsv(dice.uniform(0.0, 0.12), (0.05, 0.35), (0.72, 0.88))
    for i in range(-half, half):
        for j in range(-half, half):
            if dice.chance(0.12):
                continue
            w, h = dice.uniform(0.6, 0.85), dice.uniform(0.6, 0.85)
            corners = np.array([(0, 0), (w, 0), (w, h), (0, h)]) + np.array([i, 1.3 * j])
            points = corners @ rotate * pitch + centre
            x, y = points.mean(axis=0).astype(int)
            if not (0 <= x < canvas.width and 0 <= y < canvas.height):
                continue
            if np.abs(canvas.pixels[y, x] - wet).max() < 12:
                continue
            canvas.polygon(points, roofs)
            canvas.line(points, casing, 1, closed=True)


def facade(dice: Dice, size: tuple[int, int]) -> Image:
    """Return the front of a house: wall, rows of windows, cornices, a door."""
    wall = dice.hsv(dice.uniform(0.0, 0.15), (0.05, 0.5), (0.5, 0.95))
    frame = dice.pick(
        ((0.95, 0.95, 0.93), dice.hsv(0.08, (0.4, 0.7), (0.25, 0.5)), (0.15, 0.16, 0.17))
    )
    trim = mix(wall, WHITE, 0.5)
    plaster = octaves(dice.rng, size, cells=dice.uniform(2, 6), count=7, fall=0.7)
    ground = np.asarray(wall, np.float32) * (1 + 0.07 * plaster[..., None])
    canvas = Canvas(size, ground)
    modern = dice.chance(0.3)
    if not modern and dice.chance(0.5):
        _bricks(dice, canvas, wall)
    columns, rows = dice.integer(3, 9), dice.integer(2, 7)
    left, right = canvas.width * dice.uniform(0.0, 0.06), canvas.width * dice.uniform(0.94, 1.0)
    top = canvas.height * dice.uniform(0.02, 0.12)
    shop = dice.chance(0.4)
    bottom = canvas.height * (dice.uniform(0.72, 0.8) if shop else dice.uniform(0.92, 1.0))
    wide, high = (right - left) / columns, (bottom - top) / rows
    w = wide * (dice.uniform(0.7, 0.92) if modern else dice.uniform(0.35, 0.65))
    h = high * (dice.uniform(0.5, 0.85) if modern else dice.uniform(0.5, 0.75))
    arched = not modern and dice.chance(0.2)
    panes = dice.pick(((1, 1), (2, 1), (2, 2), (2, 3), (3, 4)))
    shutters = dice.hsv(None, (0.3, 0.8), (0.2, 0.6)) if not modern and dice.chance(0.3) else None
    balconies = dice.chance(0.25)
    dark = mix(wall, BLACK, 0.55)
    glass = dice.hsv(dice.uniform(0.5, 0.65), (0.05, 0.4), (0.1, 0.45))
    for i in range(rows):
        y = top + (i + 0.5) * high - h / 2
        if not modern and dice.chance(0.7):
            line = top + (i + 1) * high - 0.04 * high
            canvas.box(0, line, canvas.width, line + 0.05 * high, trim)
            canvas.box(0, line + 0.05 * high, canvas.width, line + 0.07 * high, dark)
        for j in range(columns):
            x = left + (j + 0.5) * wide - w / 2
            _window(dice, canvas, (x, y, x + w, y + h), glass, frame, panes, arched=arched)
            if shutters is not None:
                for x0 in (x - 0.5 * w, x + w):
                    canvas.box(x0, y, x0 + 0.48 * w, y + h, shutters)
                    slats = [
                        [(x0, yy), (x0 + 0.48 * w, yy)]
                        for yy in np.arange(y, y + h, max(3.0, h / 12))
                    ]
                    canvas.lines(slats, mix(shutters, BLACK, 0.25), 1)
            if not modern:
                sill = 0.06 * h
                canvas.box(x - 0.08 * w, y + h, x + 1.08 * w, y + h + sill, trim)
                canvas.box(x - 0.08 * w, y + h + sill, x + 1.08 * w, y + h + 1.7 * sill, dark)
            if balconies and (j + i) % 2:
                bars = [
                    [(xx, y + 0.55 * h), (xx, y + 1.1 * h)]
                    for xx in np.arange(x - 0.1 * w, x + 1.1 * w, max(4.0, w / 10))
                ]
                canvas.lines(bars, (0.12, 0.12, 0.13), max(1.0, w / 60))
                canvas.box(
                    x - 0.12 * w, y + 0.53 * h, x + 1.12 * w, y + 0.57 * h, (0.12, 0.12, 0.13)
                )
                canvas.box(x - 0.12 * w, y + 1.08 * h, x + 1.12 * w, y + 1.16 * h, dark)
    if shop:
        _shop(dice, canvas, bottom, glass, frame)
    if dice.chance(0.5):  # the eaves' shadow
        rows_below = np.arange(canvas.height) - top * 0.8
        shade = 1 - 0.35 * np.clip(1 - rows_below / (0.12 * canvas.height), 0, 1)
        canvas.pixels[:] = (canvas.pixels * shade[:, None, None]).astype(np.uint8)
    return canvas.finish()


def _bricks(dice: Dice, canvas: Canvas, wall: Colour) -> None:
    high = max(4.0, canvas.unit * dice.uniform(0.012, 0.03))
    wide = high * 2.6
    mortar = mix(wall, (0.75, 0.75, 0.75), 0.4)
    rows = np.arange(0, canvas.height, high)
    lines: list[Any] = [[(0, y), (canvas.width, y)] for y in rows]
    for i, y in enumerate(rows):
        lines += [
            [(x, y), (x, y + high)] for x in np.arange(wide / 2 * (i % 2), canvas.width, wide)
        ]
    canvas.lines(lines, mortar, 1)


def _window(
    dice: Dice,
    canvas: Canvas,
    box: tuple[float, float, float, float],
    glass: Colour,
    frame: Colour,
    panes: tuple[int, int],
    *,
    arched: bool,
) -> None:
    x0, y0, x1, y1 = box
    w, h = x1 - x0, y1 - y0
    edge = max(1.0, 0.06 * w)
    pane = mix(glass, dice.pick((BLACK, WHITE)), dice.uniform(0, 0.25))
    if arched:
        canvas.ellipse(((x0 + x1) / 2, y0), (w / 2 + edge, w / 2 + edge), frame, arc=(180, 360))
        canvas.ellipse(((x0 + x1) / 2, y0), (w / 2, w / 2), pane, arc=(180, 360))
    canvas.box(x0 - edge, y0 - (0 if arched else edge), x1 + edge, y1 + edge, frame)
    canvas.box(x0, y0, x1, y1, pane)
    shine = dice.uniform(0, 1)
    if shine < 0.35:  # the sky in the glass
        bright = mix(pane, (0.75, 0.75, 0.75), 0.6)
        a, b = x0 + w * dice.uniform(0.1, 0.6), w * dice.uniform(0.1, 0.35)
        top, low = min(x1, a + b + 0.3 * w), min(x1, a + b)
        canvas.polygon([(min(x1, a + 0.3 * w), y0), (top, y0), (low, y1), (a, y1)], bright)
    elif shine < 0.6:  # curtains, or a blind
        cloth = dice.hsv(None, (0.0, 0.25), (0.6, 0.95))
        if dice.chance(0.5):
            canvas.box(x0, y0, x1, y0 + h * dice.uniform(0.2, 0.8), cloth)
        else:
            canvas.box(x0, y0, x0 + w * 0.22, y1, cloth)
            canvas.box(x1 - w * 0.22, y0, x1, y1, cloth)
    bar = max(1.0, 0.035 * w)
    for i in range(1, panes[0]):
        x = x0 + w * i / panes[0]
        canvas.box(x - bar / 2, y0, x + bar / 2, y1, frame)
    for i in range(1, panes[1]):
        y = y0 + h * i / panes[1]
        canvas.box(x0, y - bar / 2, x1, y + bar / 2, frame)


def _shop(dice: Dice, canvas: Canvas, top: float, glass: Colour, frame: Colour) -> None:
    """Draw shop windows, a sign and a door at street level."""
    colour = dice.hsv(None, (0.3, 0.9), (0.2, 0.7))
    sign = (canvas.height - top) * 0.28
    canvas.box(0, top, canvas.width, canvas.height, colour)
    size = sign * 0.8
    text = sentence(dice, 1, 2)
    font = dice.pick(FAMILIES).bold
    x = (canvas.width - text_width(font, size, text)) * dice.uniform(0.1, 0.9)
    put_text(canvas.layer((0.97, 0.96, 0.9)), x, top + 0.8 * sign, font, size, text)
    count = dice.integer(2, 5)
    wide = canvas.width / count
    door = dice.integer(0, count - 1)
    for i in range(count):
        left, right = (i + 0.1) * wide, (i + 0.9) * wide
        low = canvas.height if i == door else canvas.height - 0.2 * sign
        _window(
            dice,
            canvas,
            (left, top + 1.2 * sign, right, low),
            glass,
            frame,
            (2, 1) if i == door else (1, 1),
            arched=False,
        )
