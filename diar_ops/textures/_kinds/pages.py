"""Typeset pages: articles, letters, books."""

from __future__ import annotations

from diar_ops.textures._kinds.canvas import Image
from diar_ops.textures._kinds.dice import Dice
from diar_ops.textures._kinds.fonts import put_text, text_width
from diar_ops.textures._kinds.sheet import Sheet, age
from diar_ops.textures._kinds.tables import figure, table
from diar_ops.textures._kinds.words import sentence

__all__ = ["page"]


def page(dice: Dice, size: tuple[int, int]) -> Image:
    """Return an article, a letter or a book's page: headline, columns, figures, tables."""
    sheet = Sheet(dice, size)
    canvas, em = sheet.canvas, sheet.em
    margin = canvas.unit * dice.uniform(0.03, 0.13)
    left, right = margin, canvas.width - margin
    top, bottom = margin * dice.uniform(0.6, 1.4), canvas.height - margin * dice.uniform(0.6, 1.4)
    if dice.chance(0.3):  # running head
        small = sheet.em * 0.8
        put_text(
            canvas.layer(sheet.ink), left, top, sheet.family.italic, small, sentence(dice, 2, 4)
        )
        number = str(dice.integer(1, 400))
        x = right - text_width(sheet.family.regular, small, number)
        put_text(canvas.layer(sheet.ink), x, top, sheet.family.regular, small, number)
        if dice.chance(0.5):
            sheet.rule(left, top + small * 0.5, right, em * 0.06, sheet.ink)
        top += em * 2
    if dice.chance(0.75):
        size_of_title = em * dice.logarithmic(1.5, 4.5)
        centred = dice.chance(0.4)
        if dice.chance(0.12):  # a band behind the title
            deep = top + size_of_title * 1.7
            canvas.box(0, 0, canvas.width, deep, sheet.accent)
            put_text(
                canvas.layer(sheet.paper),
                left,
                top + size_of_title,
                sheet.headings,
                size_of_title,
                sentence(dice, 1, 3),
            )
            top = deep + em
        else:
            top = sheet.heading(
                left, top, right, size_of_title, sentence(dice, 2, 8), sheet.accent, centred=centred
            )
        if dice.chance(0.5):
            top = sheet.heading(
                left,
                top,
                right,
                em * 1.1,
                sentence(dice, 3, 9),
                sheet.ink,
                centred=centred,
                font=sheet.family.italic,
            )
        top += em * 0.6
        if dice.chance(0.4):
            sheet.rule(left, top, right, em * dice.uniform(0.04, 0.15), sheet.accent)
            top += em * 0.7
    columns = max(1, min(dice.pick((1, 1, 2, 2, 3)), int((right - left) / (11 * em))))
    gutter = em * dice.uniform(1.2, 2.2)
    wide = (right - left - gutter * (columns - 1)) / columns
    for column in range(columns):
        x = left + column * (wide + gutter)
        if column and dice.chance(0.15):
            sheet.rule(
                x - gutter / 2, top, x - gutter / 2 + max(1, em * 0.05), bottom - top, sheet.ink
            )
        _fill(sheet, x, top, x + wide, bottom)
    return age(dice, canvas.finish())


def _fill(sheet: Sheet, left: float, top: float, right: float, bottom: float) -> None:
    """Fill a column with blocks."""
    dice, em = sheet.dice, sheet.em
    spacing = 0.0 if sheet.indented else em * dice.uniform(0.4, 0.9)
    fresh = True
    while top + 1.5 * em < bottom:
        roll = dice.uniform(0, 1)
        room = bottom - top
        if roll < 0.12 and not fresh:
            top = (
                sheet.heading(
                    left,
                    top + em * 0.5,
                    right,
                    em * dice.uniform(1.0, 1.5),
                    sentence(dice, 2, 5),
                    sheet.accent,
                )
                + em * 0.2
            )
        elif roll < 0.22 and room > 6 * em:
            height = min(room - 2 * em, (right - left) * dice.uniform(0.4, 0.8))
            box = round(left), round(top + em * 0.3), round(right), round(top + height)
            figure(sheet, *box)
            top += height + em * 0.4
            if dice.chance(0.7):
                top = sheet.paragraph(
                    left,
                    top,
                    right,
                    bottom,
                    count=dice.integer(5, 14),
                    em=em * 0.85,
                    font=sheet.family.italic,
                )
            top += em * 0.8
        elif roll < 0.3 and room > 5 * em and right - left > 9 * em:
            top = table(sheet, left, top + em * 0.4, right, bottom) + em
        elif roll < 0.38:
            for _ in range(dice.integer(2, 5)):
                mark = dice.pick(("•", "-", "1.", "a)"))
                if top + sheet.leading > bottom:
                    break
                put_text(
                    sheet.canvas.layer(sheet.ink),
                    left + 0.4 * em,
                    top + 0.8 * sheet.leading,
                    sheet.family.regular,
                    em,
                    mark,
                )
                indented, sheet.indented = sheet.indented, False
                top = sheet.paragraph(
                    left + 1.8 * em, top, right, bottom, count=dice.integer(3, 16)
                )
                sheet.indented = indented
            top += spacing
        else:
            top = sheet.paragraph(left, top, right, bottom, count=dice.integer(25, 110)) + spacing
        fresh = False
