"""Invoices and forms, filled in by hand."""

from __future__ import annotations

import numpy as np

from diar_ops.textures._kinds.canvas import Image
from diar_ops.textures._kinds.dice import Colour, Dice
from diar_ops.textures._kinds.fonts import HANDWRITING, put_text, text_width
from diar_ops.textures._kinds.sheet import Sheet, age
from diar_ops.textures._kinds.tables import table
from diar_ops.textures._kinds.words import sentence

__all__ = ["form"]


def form(dice: Dice, size: tuple[int, int]) -> Image:
    """Return an invoice or a form: boxes, labels, tick boxes, a table, handwriting."""
    sheet = Sheet(dice, size)
    canvas = sheet.canvas
    em = sheet.em = min(sheet.em, canvas.unit / 20)
    sheet.leading = 1.3 * em
    margin = canvas.unit * dice.uniform(0.03, 0.1)
    left, right, top = margin, canvas.width - margin, margin
    bottom = canvas.height - margin
    pen = dice.hsv(dice.uniform(0.58, 0.7), (0.5, 1.0), (0.2, 0.6))
    # A logo and a title.
    side = em * dice.uniform(2, 4)
    if dice.chance(0.6):
        x = left if dice.chance(0.5) else right - side
        canvas.ellipse((x + side / 2, top + side / 2), (side / 2, side / 2), sheet.accent)
        canvas.box(x + side * 0.3, top + side * 0.3, x + side * 0.7, top + side * 0.7, sheet.paper)
        indent = side + em if x == left else 0.0
    else:
        indent = 0.0
    end = sheet.heading(
        left + indent,
        top,
        right - side,
        em * dice.uniform(1.4, 2.4),
        sentence(dice, 1, 3),
        sheet.accent,
    )
    end = sheet.heading(
        left + indent,
        end,
        right - side,
        em * 0.9,
        sentence(dice, 3, 6),
        sheet.ink,
        font=sheet.family.regular,
    )
    top = max(end, top + side) + em * 0.6
    thin = max(1.0, em * 0.06)
    boxed = dice.chance(0.5)
    while top + 4 * em < bottom:
        block = dice.pick(("fields", "fields", "ticks", "table", "text"))
        if block == "table":
            top = table(sheet, left, top, right, bottom) + em
        elif block == "text":
            top = sheet.paragraph(
                left, top, right, bottom, count=dice.integer(15, 50), em=em * 0.85
            )
            top += em * 0.5
        elif block == "ticks":
            for _ in range(dice.integer(2, 5)):
                if top + 1.6 * em > bottom:
                    break
                box = np.array([(0, 0), (0.9, 0), (0.9, 0.9), (0, 0.9)]) * em + (left, top)
                canvas.line(box, sheet.ink, thin, closed=True)
                if dice.chance(0.5):
                    mark = np.array([(0.1, 0.4), (0.4, 0.9), (1.0, -0.2)]) * em + (left, top)
                    canvas.line(mark, pen, em * 0.13)
                put_text(
                    canvas.layer(sheet.ink),
                    left + 1.6 * em,
                    top + 0.8 * em,
                    sheet.family.regular,
                    em,
                    sentence(dice, 2, 6),
                )
                top += 1.6 * em
            top += 0.5 * em
        else:
            cells = dice.pick((1, 2, 2, 3))
            wide = (right - left) / cells
            for cell in range(cells):
                x = left + cell * wide
                _field(sheet, x, top, x + wide - (0 if boxed else em), 2.5 * em, pen, boxed=boxed)
            top += 2.5 * em + (0 if boxed and dice.chance(0.6) else 0.6 * em)
    if dice.chance(0.4):  # a stamp
        colour = dice.hsv(dice.pick((0.0, 0.62, 0.4)), (0.6, 0.9), (0.5, 0.8))
        radius = em * dice.uniform(2, 4)
        centre = right - dice.uniform(1, 3) * radius, bottom - dice.uniform(1, 3) * radius
        for share in (1.0, 0.8):
            canvas.ellipse(centre, (radius * share, radius * share), colour, width=em * 0.15)
        text = sentence(dice, 1, 1).upper()
        size_of_text = min(em * 1.5, 1.3 * radius / max(1, len(text)) * 1.6)
        x = centre[0] - text_width(sheet.family.bold, size_of_text, text) / 2
        put_text(
            canvas.layer(colour),
            x,
            centre[1] + 0.3 * size_of_text,
            sheet.family.bold,
            size_of_text,
            text,
        )
    return age(dice, canvas.finish())


def _field(
    sheet: Sheet, left: float, top: float, right: float, high: float, pen: Colour, *, boxed: bool
) -> None:
    """Draw a labelled field, mostly filled in by hand."""
    dice, em, canvas = sheet.dice, sheet.em, sheet.canvas
    thin = max(1.0, em * 0.06)
    corners = [(left, top), (right, top), (right, top + high), (left, top + high)]
    if boxed:
        canvas.line(corners, sheet.ink, thin, closed=True)
    else:
        canvas.line(corners[2:], sheet.ink, thin)
    put_text(
        canvas.layer(sheet.ink),
        left + 0.3 * em,
        top + 0.8 * em,
        sheet.family.regular,
        0.7 * em,
        sentence(dice, 1, 2),
    )
    if dice.chance(0.75):
        text = sentence(dice, 1, 3) if dice.chance(0.7) else str(dice.integer(10, 10**7))
        size = 1.5 * em
        while text_width(HANDWRITING, size, text) > right - left - em and len(text) > 1:
            text = text[:-1]
        put_text(
            canvas.layer(pen), left + 0.6 * em, top + high - 0.35 * em, HANDWRITING, size, text
        )
