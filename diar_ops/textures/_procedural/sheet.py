"""A sheet of paper: text set in headings and paragraphs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diar_ops.textures._procedural.canvas import SCALE, Canvas, Image
from diar_ops.textures._procedural.fonts import FAMILIES, Family, prepare, put_text, text_width
from diar_ops.textures._procedural.fractal import fractal_noise
from diar_ops.textures._procedural.rng import Colour, Rng
from diar_ops.textures._procedural.words import words

#: No smaller type than this, in pixels of the texture.
SMALLEST = 3.6


class Sheet:
    """A page: its canvas, fonts and colours."""

    def __init__(self, rng: Rng, size: tuple[int, int]) -> None:
        self.rng = rng
        self.paper = rng.paper()
        self.ink: Colour = rng.ink()
        self.accent = rng.hsv(None, (0.6, 1.0), (0.25, 0.75)) if rng.chance(0.4) else self.ink
        if rng.chance(0.06):
            self.paper, self.ink = self.ink, self.paper
            self.accent = rng.hsv(None, (0.2, 0.7), (0.8, 1.0))
        self.canvas = Canvas(size, self.paper)
        self.family: Family = rng.pick(FAMILIES)
        self.headings = rng.pick((self.family, rng.pick(FAMILIES))).bold
        across = rng.logarithmic(14, 58)  # ems
        self.em = max(SMALLEST * SCALE, self.canvas.unit / across)
        self.leading = self.em * rng.uniform(1.12, 1.5)
        self.justified = rng.chance(0.6)
        self.indented = rng.chance(0.5)

    def write(
        self,
        x: float,
        baseline: float,
        text: str,
        *,
        size: float | None = None,
        font: str | None = None,
        colour: Colour | None = None,
    ) -> None:
        """Write one line, by default in the sheet's regular type and ink."""
        font, size = font or self.family.regular, size or self.em
        self.canvas.text(x, baseline, text, font, size, colour or self.ink)

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
        """Set ``text`` in lines between ``left`` and ``right``, and return the new top."""
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
        """Set ``count`` words in lines until ``bottom``, and return the new top."""
        em = em or self.em
        font = font or self.family.regular
        leading = self.leading * em / self.em
        layer = self.canvas.layer(self.ink)
        space = em * 0.26
        start = left + (1.5 * em if self.indented else 0.0)
        line: list[tuple[str, float]] = []
        width = 0.0
        text = words(self.rng, count)
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
        """Draw a horizontal line."""
        self.canvas.box(left, y, right, y + max(1.0, width), colour)


def _set_line(
    layer: NDArray[np.uint8], line: list[tuple[str, float]], x: float, baseline: float, font: str, em: float, gap: float
) -> None:
    for word, advance in line:
        put_text(layer, x, baseline, font, em, word)
        x += advance + gap


def age(rng: Rng, image: Image) -> Image:
    """Give paper a little unevenness, now and then a fold."""
    height, width = image.shape[:2]
    strength = rng.pick((0.0, 0.01, 0.02, 0.05))
    if strength:
        noise = fractal_noise(rng, (height, width), cells=3, count=5)
        image *= 1 - strength * (0.5 + 0.5 * noise)[..., None]
    if rng.chance(0.15):  # folded
        fold = rng.uniform(0.3, 0.7)
        if rng.chance(0.5):
            distance = np.abs(np.arange(width, dtype=np.float32) - fold * width)[None, :, None]
        else:
            distance = np.abs(np.arange(height, dtype=np.float32) - fold * height)[:, None, None]
        crease = np.exp(-distance / max(1.0, 0.006 * max(height, width)))
        image *= 1 - rng.uniform(0.03, 0.12) * crease
    return image
