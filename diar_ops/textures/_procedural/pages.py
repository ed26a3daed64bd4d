"""Typeset pages: articles, letters, books."""

from __future__ import annotations

from diar_ops.textures._procedural.canvas import Image
from diar_ops.textures._procedural.fonts import text_width
from diar_ops.textures._procedural.rng import Rng
from diar_ops.textures._procedural.sheet import Sheet, age
from diar_ops.textures._procedural.tables import figure, table
from diar_ops.textures._procedural.words import sentence


def page(rng: Rng, size: tuple[int, int]) -> Image:
    """Return an article, a letter or a book's page: headline, columns, figures, tables."""
    sheet = Sheet(rng, size)
    canvas, em = sheet.canvas, sheet.em
    margin = canvas.unit * rng.uniform(0.03, 0.13)
    left, right = margin, canvas.width - margin
    top, bottom = margin * rng.uniform(0.6, 1.4), canvas.height - margin * rng.uniform(0.6, 1.4)
    if rng.chance(0.3):
        top = _running_head(sheet, left, top, right)
    if rng.chance(0.75):
        top = _headline(sheet, left, top, right)
    columns = max(1, min(rng.pick((1, 1, 2, 2, 3)), int((right - left) / (11 * em))))
    gutter = em * rng.uniform(1.2, 2.2)
    width = (right - left - gutter * (columns - 1)) / columns
    for column in range(columns):
        x = left + column * (width + gutter)
        if column and rng.chance(0.15):
            middle, thin = x - gutter / 2, max(1, em * 0.05)
            sheet.rule(middle, top, middle + thin, bottom - top, sheet.ink)
        _fill_column(sheet, x, top, x + width, bottom)
    return age(rng, canvas.finish())


def _running_head(sheet: Sheet, left: float, top: float, right: float) -> float:
    """Write a line and a page number above the text, and return the new top."""
    rng, small = sheet.rng, sheet.em * 0.8
    sheet.write(left, top, sentence(rng, 2, 4), size=small, font=sheet.family.italic)
    number = str(rng.integer(1, 400))
    sheet.write(right - text_width(sheet.family.regular, small, number), top, number, size=small)
    if rng.chance(0.5):
        sheet.rule(left, top + small * 0.5, right, sheet.em * 0.06, sheet.ink)
    return top + sheet.em * 2


def _headline(sheet: Sheet, left: float, top: float, right: float) -> float:
    """Set a title, perhaps with a subtitle and a rule, and return the new top."""
    rng, em = sheet.rng, sheet.em
    size = em * rng.logarithmic(1.5, 4.5)
    centred = rng.chance(0.4)
    if rng.chance(0.12):  # a band behind the title
        bottom = top + size * 1.7
        sheet.canvas.box(0, 0, sheet.canvas.width, bottom, sheet.accent)
        title = sentence(rng, 1, 3)
        sheet.write(left, top + size, title, size=size, font=sheet.headings, colour=sheet.paper)
        top = bottom + em
    else:
        title = sentence(rng, 2, 8)
        top = sheet.heading(left, top, right, size, title, sheet.accent, centred=centred)
    if rng.chance(0.5):
        subtitle, font = sentence(rng, 3, 9), sheet.family.italic
        top = sheet.heading(left, top, right, em * 1.1, subtitle, sheet.ink, centred=centred, font=font)
    top += em * 0.6
    if rng.chance(0.4):
        sheet.rule(left, top, right, em * rng.uniform(0.04, 0.15), sheet.accent)
        top += em * 0.7
    return top


def _fill_column(sheet: Sheet, left: float, top: float, right: float, bottom: float) -> None:
    """Fill a column with headings, figures, tables, lists and paragraphs."""
    rng, em = sheet.rng, sheet.em
    spacing = 0.0 if sheet.indented else em * rng.uniform(0.4, 0.9)
    is_first = True
    while top + 1.5 * em < bottom:
        roll = rng.uniform(0, 1)
        room = bottom - top
        if roll < 0.12 and not is_first:
            size, text = em * rng.uniform(1.0, 1.5), sentence(rng, 2, 5)
            top = sheet.heading(left, top + em * 0.5, right, size, text, sheet.accent) + em * 0.2
        elif roll < 0.22 and room > 6 * em:
            top = _captioned_figure(sheet, left, top, right, bottom)
        elif roll < 0.3 and room > 5 * em and right - left > 9 * em:
            top = table(sheet, left, top + em * 0.4, right, bottom) + em
        elif roll < 0.38:
            top = _bullet_list(sheet, left, top, right, bottom) + spacing
        else:
            top = sheet.paragraph(left, top, right, bottom, count=rng.integer(25, 110)) + spacing
        is_first = False


def _captioned_figure(sheet: Sheet, left: float, top: float, right: float, bottom: float) -> float:
    """Draw a figure, mostly with a caption, and return the new top."""
    rng, em = sheet.rng, sheet.em
    height = min(bottom - top - 2 * em, (right - left) * rng.uniform(0.4, 0.8))
    figure(sheet, round(left), round(top + em * 0.3), round(right), round(top + height))
    top += height + em * 0.4
    if rng.chance(0.7):
        count, font = rng.integer(5, 14), sheet.family.italic
        top = sheet.paragraph(left, top, right, bottom, count=count, em=em * 0.85, font=font)
    return top + em * 0.8


def _bullet_list(sheet: Sheet, left: float, top: float, right: float, bottom: float) -> float:
    """Set a list of two to five items, and return the new top."""
    rng, em = sheet.rng, sheet.em
    for _ in range(rng.integer(2, 5)):
        mark = rng.pick(("•", "-", "1.", "a)"))
        if top + sheet.leading > bottom:
            break
        sheet.write(left + 0.4 * em, top + 0.8 * sheet.leading, mark)
        indented, sheet.indented = sheet.indented, False
        top = sheet.paragraph(left + 1.8 * em, top, right, bottom, count=rng.integer(3, 16))
        sheet.indented = indented
    return top
