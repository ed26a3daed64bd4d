"""Tables, and the figures of a page."""

from __future__ import annotations

import numpy as np

from diar_ops.textures._kinds.dice import mix
from diar_ops.textures._kinds.fonts import put_text, text_width
from diar_ops.textures._kinds.patterns import picture
from diar_ops.textures._kinds.sheet import Sheet
from diar_ops.textures._kinds.words import sentence

__all__ = ["figure", "table"]


def figure(sheet: Sheet, left: int, top: int, right: int, bottom: int) -> None:
    """Draw a photo, a bar chart or a curve."""
    dice, canvas = sheet.dice, sheet.canvas
    wide, high = right - left, bottom - top
    if wide < 8 or high < 8:
        return
    kind = dice.pick(("photo", "photo", "bars", "curve"))
    if kind == "photo":
        canvas.paste(
            picture(dice, (max(2, high // 2), max(2, wide // 2))), left, top, right, bottom
        )
        return
    colour = dice.pick((sheet.accent, sheet.ink, dice.hsv(None, (0.4, 0.9), (0.3, 0.8))))
    thin = max(1.0, sheet.em * 0.06)
    canvas.line([(left, top), (left, bottom), (right, bottom)], sheet.ink, thin)
    if kind == "bars":
        count = dice.integer(4, 14)
        heights = dice.array(count, low=0.1, high=0.95)
        for i, share in enumerate(heights.tolist()):
            x = left + wide * (i + 0.2) / count
            canvas.box(x, bottom - share * high, x + wide * 0.6 / count, bottom, colour)
        return
    across = np.linspace(left, right, 60)
    for _ in range(dice.integer(1, 3)):
        noise = np.cumsum(dice.rng.standard_normal(60))
        noise = (noise - noise.min()) / max(1e-6, float(np.ptp(noise)))
        y = bottom - high * (0.05 + 0.85 * noise)
        canvas.line(np.stack((across, y), 1), colour, sheet.em * 0.15)
        colour = sheet.ink


def table(sheet: Sheet, left: float, top: float, right: float, bottom: float) -> float:
    """Draw a table of words and numbers; returns its end."""
    dice, em, canvas = sheet.dice, sheet.em, sheet.canvas
    size = em * dice.uniform(0.85, 1.0)
    columns = dice.integer(2, max(2, min(7, int((right - left) / (4 * em)))))
    high = size * dice.uniform(1.4, 2.0)
    rows = min(dice.integer(3, 14), int((bottom - top) / high))
    if rows < 2:
        return top
    edges = left + (right - left) * np.cumsum([0, *dice.array(columns, low=0.6, high=1.2)])
    edges = left + (edges - left) * (right - left) / (edges[-1] - left)
    style = dice.pick(("grid", "rules", "booktabs", "stripes"))
    thin = max(1.0, em * 0.05)
    end = top + rows * high
    if style == "stripes":
        tint = mix(sheet.paper, sheet.accent, 0.12)
        for row in range(1, rows, 2):
            canvas.box(left, top + row * high, right, top + (row + 1) * high, tint)
    shaded = dice.chance(0.35)
    if shaded:
        canvas.box(left, top, right, top + high, sheet.accent)
    lines = range(rows + 1) if style in ("grid", "rules") else (0, 1, rows)
    for row in lines:
        sheet.rule(left, top + row * high, right, thin, sheet.ink)
    if style == "grid":
        for edge in edges:
            canvas.box(edge, top, edge + thin, end, sheet.ink)
    textual = [column == 0 or dice.chance(0.3) for column in range(columns)]
    for row in range(rows):
        baseline = top + (row + 0.5) * high + 0.33 * size
        head = row == 0
        layer = canvas.layer(sheet.paper if head and shaded else sheet.ink)
        font = sheet.family.bold if head else sheet.family.regular
        for column in range(columns):
            x0, x1 = edges[column] + 0.4 * em, edges[column + 1] - 0.4 * em
            if head or textual[column]:
                text = sentence(dice, 1, 2)
            else:
                text = f"{dice.logarithmic(1, 9999):,.{dice.pick((0, 1, 2))}f}"
            wide = text_width(font, size, text)
            if wide > x1 - x0:
                text = text.split()[0][: max(1, int((x1 - x0) / (0.55 * size)))]
                wide = text_width(font, size, text)
            x = x0 if textual[column] else x1 - wide
            put_text(layer, x, baseline, font, size, text)
    return end
