"""Tables, and the figures of a page."""

from __future__ import annotations

import numpy as np

from diar_ops.textures._procedural.fonts import text_width
from diar_ops.textures._procedural.patterns import landscape
from diar_ops.textures._procedural.rng import mix
from diar_ops.textures._procedural.sheet import Sheet
from diar_ops.textures._procedural.words import sentence


def figure(sheet: Sheet, left: int, top: int, right: int, bottom: int) -> None:
    """Draw a photo, a bar chart or a curve."""
    rng, canvas = sheet.rng, sheet.canvas
    width, height = right - left, bottom - top
    if width < 8 or height < 8:
        return
    kind = rng.pick(("photo", "photo", "bars", "curve"))
    if kind == "photo":
        photo = landscape(rng, (max(2, height // 2), max(2, width // 2)))
        canvas.paste(photo, left, top, right, bottom)
        return
    colour = rng.pick((sheet.accent, sheet.ink, rng.hsv(None, (0.4, 0.9), (0.3, 0.8))))
    thin = max(1.0, sheet.em * 0.06)
    canvas.line([(left, top), (left, bottom), (right, bottom)], sheet.ink, thin)
    if kind == "bars":
        count = rng.integer(4, 14)
        heights = rng.array(count, low=0.1, high=0.95)
        for i, share in enumerate(heights.tolist()):
            x = left + width * (i + 0.2) / count
            canvas.box(x, bottom - share * height, x + width * 0.6 / count, bottom, colour)
        return
    steps = np.linspace(left, right, 60)
    for _ in range(rng.integer(1, 3)):
        noise = np.cumsum(rng.normal(60))
        noise = (noise - noise.min()) / max(1e-6, float(np.ptp(noise)))
        y = bottom - height * (0.05 + 0.85 * noise)
        canvas.line(np.stack((steps, y), 1), colour, sheet.em * 0.15)
        colour = sheet.ink


def table(sheet: Sheet, left: float, top: float, right: float, bottom: float) -> float:
    """Draw a table of words and numbers, and return the new top."""
    rng, em, canvas = sheet.rng, sheet.em, sheet.canvas
    size = em * rng.uniform(0.85, 1.0)
    columns = rng.integer(2, max(2, min(7, int((right - left) / (4 * em)))))
    height = size * rng.uniform(1.4, 2.0)
    rows = min(rng.integer(3, 14), int((bottom - top) / height))
    if rows < 2:
        return top
    edges = left + (right - left) * np.cumsum([0, *rng.array(columns, low=0.6, high=1.2)])
    edges = left + (edges - left) * (right - left) / (edges[-1] - left)
    style = rng.pick(("grid", "rules", "booktabs", "stripes"))
    thin = max(1.0, em * 0.05)
    end = top + rows * height
    if style == "stripes":
        tint = mix(sheet.paper, sheet.accent, 0.12)
        for row in range(1, rows, 2):
            canvas.box(left, top + row * height, right, top + (row + 1) * height, tint)
    shaded = rng.chance(0.35)
    if shaded:
        canvas.box(left, top, right, top + height, sheet.accent)
    lines = range(rows + 1) if style in ("grid", "rules") else (0, 1, rows)
    for row in lines:
        sheet.rule(left, top + row * height, right, thin, sheet.ink)
    if style == "grid":
        for edge in edges:
            canvas.box(edge, top, edge + thin, end, sheet.ink)
    textual = [column == 0 or rng.chance(0.3) for column in range(columns)]
    for row in range(rows):
        baseline = top + (row + 0.5) * height + 0.33 * size
        is_head = row == 0
        colour = sheet.paper if is_head and shaded else sheet.ink
        font = sheet.family.bold if is_head else sheet.family.regular
        for column in range(columns):
            x0, x1 = edges[column] + 0.4 * em, edges[column + 1] - 0.4 * em
            if is_head or textual[column]:
                text = sentence(rng, 1, 2)
            else:
                text = f"{rng.logarithmic(1, 9999):,.{rng.pick((0, 1, 2))}f}"
            if text_width(font, size, text) > x1 - x0:
                text = text.split()[0][: max(1, int((x1 - x0) / (0.55 * size)))]
            x = x0 if textual[column] else x1 - text_width(font, size, text)
            canvas.text(x, baseline, text, font, size, colour)
    return end
