"""A sheet of paper on which text is set."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diar_ops.textures._kinds.canvas import SCALE, Canvas, Image, octaves
from diar_ops.textures._kinds.dice import Colour, Dice
from diar_ops.textures._kinds.fonts import FAMILIES, Family, prepare, put_text, text_width
from diar_ops.textures._kinds.words import words

__all__ = ["Sheet", "age"]


#: No smaller type than this, in pixels of the texture.
SMALLEST = 3.6


class Sheet:
    """A page in the making: canvas, fonts, colours, and the pen's place."""

    def __init__(self, dice: Dice, size: tuple[int, int]) -> None:
        self.dice = dice
        self.paper = dice.paper()
        self.ink: Colour = dice.ink()
        self.accent = dice.hsv(None, (0.6, 1.0), (0.25, 0.75)) if dice.chance(0.4) else self.ink
        if dice.chance(0.06):
            self.paper, self.ink = self.ink, self.paper
            self.accent = dice.hsv(None, (0.2, 0.7), (0.8, 1.0))
        self.canvas = Canvas(size, self.paper)
        self.family: Family = dice.pick(FAMILIES)
        self.headings = dice.pick((self.family, dice.pick(FAMILIES))).bold
        across = dice.logarithmic(14, 58)  # ems
        self.em = max(SMALLEST * SCALE, self.canvas.unit / across)
        self.leading = self.em * dice.uniform(1.12, 1.5)
        self.justified = dice.chance(0.6)
        self.indented = dice.chance(0.5)

    def heading(
        self,
        left: float,
        top: float,
        right: float,
        size: float,
        text: str,
        colour: Colour,
        *,
        centred: bool = False,
        font: str | None = None,
    ) -> float:
        """Set ``text`` in lines between ``left`` and ``right``; returns the new top."""
        font = font or self.headings
        layer = self.canvas.layer(colour)
        line: list[str] = []
        space = text_width(font, size, " ")
        width = -space

        def flush(baseline: float) -> None:
            x = left + max(0.0, (right - left - width) / 2) if centred else left
            for word in line:
                x += put_text(layer, x, baseline, font, size, word) + space

        for word in text.split():
            advance = text_width(font, size, word) + space
            if line and width + advance > right - left:
                flush(top + size * 0.85)
                top += size * 1.12
                line, width = [], -space
            line.append(word)
            width += advance
        flush(top + size * 0.85)
        return top + size * 1.15

    def paragraph(
        self,
        left: float,
        top: float,
        right: float,
        bottom: float,
        *,
        count: int,
        em: float | None = None,
        font: str | None = None,
    ) -> float:
        """Set ``count`` words in lines until ``bottom``; returns the new top."""
        em = em or self.em
        font = font or self.family.regular
        leading = self.leading * em / self.em
        layer = self.canvas.layer(self.ink)
        space = em * 0.26
        start = left + (1.5 * em if self.indented else 0.0)
        line: list[tuple[str, float]] = []
        width = 0.0
        text = words(self.dice, count)
        prepare(font, em, text)
        for word in text:
            advance = text_width(font, em, word)
            if line and start + width + advance > right:
                if top + leading > bottom:
                    return top
                gap = space
                if self.justified and len(line) > 1:
                    gap += min(2 * em, (right - start - width + space) / (len(line) - 1))
                _set_line(layer, line, start, top + 0.8 * leading, font, em, gap)
                top += leading
                line, width, start = [], 0.0, left
            line.append((word, advance))
            width += advance + space
        if top + leading <= bottom:
            _set_line(layer, line, start, top + 0.8 * leading, font, em, space)
            top += leading
        return top

    def rule(self, left: float, y: float, right: float, width: float, colour: Colour) -> None:
        self.canvas.box(left, y, right, y + max(1.0, width), colour)


def _set_line(
    layer: NDArray[np.uint8],
    line: list[tuple[str, float]],
    x: float,
    baseline: float,
    font: str,
    em: float,
    gap: float,
) -> None:
    for word, advance in line:
        put_text(layer, x, baseline, font, em, word)
        x += advance + gap


def age(dice: Dice, image: Image) -> Image:
    """Give paper a little unevenness, now and then a fold."""
    height, width = image.shape[:2]
    strength = dice.pick((0.0, 0.01, 0.02, 0.05))
    if strength:
        image *= (
            1
            - strength
            * (0.5 + 0.5 * octaves(dice.rng, (height, width), cells=3, count=5))[..., None]
        )
    if dice.chance(0.15):  # folded
        at = dice.uniform(0.3, 0.7)
        if dice.chance(0.5):
            away = np.abs(np.arange(width, dtype=np.float32) - at * width)[None, :, None]
        else:
            away = np.abs(np.arange(height, dtype=np.float32) - at * height)[:, None, None]
        image *= 1 - dice.uniform(0.03, 0.12) * np.exp(-away / max(1.0, 0.006 * max(height, width)))
    return image
