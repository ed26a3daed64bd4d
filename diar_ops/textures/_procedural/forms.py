"""Invoices and forms, filled in by hand."""

from __future__ import annotations

import numpy as np

from diar_ops.textures._procedural.canvas import Image
from diar_ops.textures._procedural.fonts import HANDWRITING, text_width
from diar_ops.textures._procedural.rng import Colour, Rng
from diar_ops.textures._procedural.sheet import Sheet, age
from diar_ops.textures._procedural.tables import table
from diar_ops.textures._procedural.words import sentence


def form(rng: Rng, size: tuple[int, int]) -> Image:
    """Return an invoice or a form: boxes, labels, tick boxes, a table, handwriting."""
    sheet = Sheet(rng, size)
    canvas = sheet.canvas
    em = sheet.em = min(sheet.em, canvas.unit / 20)
    sheet.leading = 1.3 * em
    margin = canvas.unit * rng.uniform(0.03, 0.1)
    left, right, bottom = margin, canvas.width - margin, canvas.height - margin
    pen = rng.hsv(rng.uniform(0.58, 0.7), (0.5, 1.0), (0.2, 0.6))
    top = _letterhead(sheet, left, margin, right)
    boxed = rng.chance(0.5)
    while top + 4 * em < bottom:
        block = rng.pick(("fields", "fields", "ticks", "table", "text"))
        if block == "table":
            top = table(sheet, left, top, right, bottom) + em
        elif block == "text":
            count = rng.integer(15, 50)
            top = sheet.paragraph(left, top, right, bottom, count=count, em=em * 0.85)
            top += em * 0.5
        elif block == "ticks":
            top = _tick_boxes(sheet, left, top, bottom, pen)
        else:
            cells = rng.pick((1, 2, 2, 3))
            width = (right - left) / cells
            gap = 0 if boxed else em
            for cell in range(cells):
                x = left + cell * width
                _field(sheet, x, top, x + width - gap, pen, boxed=boxed)
            top += 2.5 * em + (0 if boxed and rng.chance(0.6) else 0.6 * em)
    if rng.chance(0.4):
        _stamp(sheet, right, bottom)
    return age(rng, canvas.finish())


def _letterhead(sheet: Sheet, left: float, top: float, right: float) -> float:
    """Draw a logo, a title and a line below it, and return the new top."""
    rng, canvas, em = sheet.rng, sheet.canvas, sheet.em
    side = em * rng.uniform(2, 4)
    start = left
    if rng.chance(0.6):
        x = left if rng.chance(0.5) else right - side
        canvas.ellipse((x + side / 2, top + side / 2), (side / 2, side / 2), sheet.accent)
        canvas.box(x + side * 0.3, top + side * 0.3, x + side * 0.7, top + side * 0.7, sheet.paper)
        if x == left:
            start = left + (side + em)
    size, title = em * rng.uniform(1.4, 2.4), sentence(rng, 1, 3)
    end = sheet.heading(start, top, right - side, size, title, sheet.accent)
    line, font = sentence(rng, 3, 6), sheet.family.regular
    end = sheet.heading(start, end, right - side, em * 0.9, line, sheet.ink, font=font)
    return max(end, top + side) + em * 0.6


def _tick_boxes(sheet: Sheet, left: float, top: float, bottom: float, pen: Colour) -> float:
    """Draw two to five boxes with text beside them, some ticked, and return the new top."""
    rng, canvas, em = sheet.rng, sheet.canvas, sheet.em
    for _ in range(rng.integer(2, 5)):
        if top + 1.6 * em > bottom:
            break
        canvas.outline(left, top, left + 0.9 * em, top + 0.9 * em, sheet.ink, _thin(sheet))
        if rng.chance(0.5):
            tick = np.array([(0.1, 0.4), (0.4, 0.9), (1.0, -0.2)]) * em + (left, top)
            canvas.line(tick, pen, em * 0.13)
        sheet.write(left + 1.6 * em, top + 0.8 * em, sentence(rng, 2, 6))
        top += 1.6 * em
    return top + 0.5 * em


def _field(sheet: Sheet, left: float, top: float, right: float, pen: Colour, *, boxed: bool) -> None:
    """Draw a labelled field, mostly filled in by hand."""
    rng, em, canvas = sheet.rng, sheet.em, sheet.canvas
    bottom = top + 2.5 * em
    if boxed:
        canvas.outline(left, top, right, bottom, sheet.ink, _thin(sheet))
    else:
        canvas.line([(right, bottom), (left, bottom)], sheet.ink, _thin(sheet))
    sheet.write(left + 0.3 * em, top + 0.8 * em, sentence(rng, 1, 2), size=0.7 * em)
    if rng.chance(0.75):
        text = sentence(rng, 1, 3) if rng.chance(0.7) else str(rng.integer(10, 10**7))
        size = 1.5 * em
        while text_width(HANDWRITING, size, text) > right - left - em and len(text) > 1:
            text = text[:-1]
        canvas.text(left + 0.6 * em, bottom - 0.35 * em, text, HANDWRITING, size, pen)


def _stamp(sheet: Sheet, right: float, bottom: float) -> None:
    """Stamp a word in two circles into the lower right corner."""
    rng, canvas, em = sheet.rng, sheet.canvas, sheet.em
    colour = rng.hsv(rng.pick((0.0, 0.62, 0.4)), (0.6, 0.9), (0.5, 0.8))
    radius = em * rng.uniform(2, 4)
    x, y = right - rng.uniform(1, 3) * radius, bottom - rng.uniform(1, 3) * radius
    for share in (1.0, 0.8):
        canvas.ellipse((x, y), (radius * share, radius * share), colour, width=em * 0.15)
    text = sentence(rng, 1, 1).upper()
    size = min(em * 1.5, 1.3 * radius / max(1, len(text)) * 1.6)
    font = sheet.family.bold
    canvas.text(x - text_width(font, size, text) / 2, y + 0.3 * size, text, font, size, colour)


def _thin(sheet: Sheet) -> float:
    return max(1.0, sheet.em * 0.06)
