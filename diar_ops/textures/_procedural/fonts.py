"""Text: fonts from packages, and words drawn in them."""

from __future__ import annotations

import functools
import importlib.util
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from diar_ops._errors import DiarError

if TYPE_CHECKING:
    from PIL import ImageFont


class Family(NamedTuple):
    """Font files that belong together, as ``package/file``."""

    regular: str
    bold: str
    italic: str


_SERIF, _SANS = "font_source_serif_pro/SourceSerifPro", "font_source_sans_pro/SourceSansPro"
_CALADEA = "font_caladea/Caladea"
#: Fonts for running text.
FAMILIES = (
    Family(f"{_SERIF}-Regular.ttf", f"{_SERIF}-Bold.ttf", f"{_SERIF}-It.ttf"),
    Family(f"{_SERIF}-Light.ttf", f"{_SERIF}-Semibold.ttf", f"{_SERIF}-LightIt.ttf"),
    Family(f"{_SANS}-Regular.ttf", f"{_SANS}-Bold.ttf", f"{_SANS}-It.ttf"),
    Family(f"{_SANS}-Light.ttf", f"{_SANS}-Semibold.ttf", f"{_SANS}-LightIt.ttf"),
    Family(f"{_CALADEA}-Regular.ttf", f"{_CALADEA}-Bold.ttf", f"{_CALADEA}-Italic.ttf"),
)
HANDWRITING = "font_amatic_sc/AmaticSC-Bold.ttf"
#: Fonts for large type.
DISPLAY = (
    "font_fredoka_one/FredokaOne-Regular.ttf",
    "font_amatic_sc/AmaticSC-Bold.ttf",
    f"{_SERIF}-Black.ttf",
    f"{_SANS}-Black.ttf",
    f"{_SANS}-ExtraLight.ttf",
    f"{_SERIF}-Bold.ttf",
    f"{_SANS}-Bold.ttf",
    f"{_CALADEA}-BoldItalic.ttf",
    f"{_SERIF}-BlackIt.ttf",
)

#: Sizes are multiples of this ratio, so that words can be cached for the next page.
STEP = 1.2
#: Larger words are drawn each time: they are few.
LARGEST_CACHED = 25
CACHE_LIMIT = 40_000
_PIECE = re.compile(r"[^\W\d]+|.")


class _Word(NamedTuple):
    cover: NDArray[np.uint8]  #: (h, w)
    left: int  #: of the cover, from the pen
    top: int  #: of the cover, from the baseline
    advance: float  #: of the pen


_cache: dict[tuple[str, int, str], _Word] = {}


def text_width(font: str, size: float, text: str) -> float:
    """Return how far ``text`` moves the pen; ``size`` is that of the em, in canvas pixels."""
    step = _step(size)
    return sum(_word(font, step, piece).advance for piece in _pieces(step, text))


def put_text(layer: NDArray[np.uint8], x: float, baseline: float, font: str, size: float, text: str) -> float:
    """Write ``text`` into a layer of a canvas, clipped to it, and return :func:`text_width`."""
    step = _step(size)
    start = x
    for piece in _pieces(step, text):
        word = _word(font, step, piece)
        if piece != " ":
            _stamp(layer, word.cover, round(x) + word.left, round(baseline) + word.top)
        x += word.advance
    return x - start


def _pieces(step: int, text: str) -> Sequence[str]:
    """Split small text into words and single marks and digits: what is worth caching."""
    return (text,) if STEP**step > LARGEST_CACHED or text.isalpha() else _PIECE.findall(text)


def _stamp(layer: NDArray[np.uint8], cover: NDArray[np.uint8], left: int, top: int) -> None:
    height, width = cover.shape
    if left >= 0 and top >= 0:
        view = layer[top : top + height, left : left + width]
    else:
        view = layer[max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)]
        cover = cover[max(0, -top) :, max(0, -left) :]
    if view.size:
        np.maximum(view, cover[: view.shape[0], : view.shape[1]], out=view)


def prepare(font: str, size: float, texts: Iterable[str]) -> None:
    """Draw the words that will be needed together, which is faster than one by one."""
    step = _step(size)
    if STEP**step > LARGEST_CACHED:
        return
    pieces = dict.fromkeys(piece for text in texts for piece in _pieces(step, text))
    new = [piece for piece in pieces if (font, step, piece) not in _cache]
    if new:
        _draw_and_cache(font, step, new)


def _step(size: float) -> int:
    return round(float(np.log(max(size, 1.0))) / float(np.log(STEP)))


def _word(font: str, step: int, text: str) -> _Word:
    cached = _cache.get((font, step, text))
    return _draw_and_cache(font, step, [text])[0] if cached is None else cached


def _draw_and_cache(font: str, step: int, texts: Sequence[str]) -> list[_Word]:
    words = _draw(_font(font, step), texts)
    if STEP**step <= LARGEST_CACHED:
        if len(_cache) + len(texts) > CACHE_LIMIT:
            _cache.clear()
        for text, word in zip(texts, words, strict=True):
            _cache[font, step, text] = word
    return words


def _draw(font: ImageFont.FreeTypeFont, texts: Sequence[str]) -> list[_Word]:
    """Draw words below each other in one strip, and cut it."""
    from PIL import Image, ImageDraw

    ascent, descent = font.getmetrics()
    height, pad = ascent + descent + 2, 2 + ascent // 4  # for what hangs over
    advances = [float(font.getlength(text)) for text in texts]
    strip = Image.new("L", (math.ceil(max(advances)) + 2 * pad, height * len(texts)))
    draw = ImageDraw.Draw(strip)
    for row, text in enumerate(texts):
        draw.text((pad, row * height + ascent + 1), text, fill=255, font=font, anchor="ls")
    covers = np.asarray(strip)
    words = []
    for row, advance in enumerate(advances):
        cover = covers[row * height : (row + 1) * height, : math.ceil(advance) + 2 * pad]
        words.append(_Word(cover.copy(), -pad, -ascent - 1, advance))
    return words


@functools.lru_cache(maxsize=256)
def _font(font: str, step: int) -> ImageFont.FreeTypeFont:
    from PIL import ImageFont

    package, file = font.split("/")
    path = font_folder(package) / file
    # The layout engine that every build of Pillow has, so that all set alike.
    return ImageFont.truetype(str(path), STEP**step, layout_engine=ImageFont.Layout.BASIC)


@functools.cache
def font_folder(package: str) -> Path:
    """Return where a font package keeps its files, without importing it.

    Raises:
        DiarError: The package is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise DiarError(
            f"procedural pages and posters need fonts, and {package.replace('_', '-')} is not "
            f"installed: pip install 'diar-ops[train]'"
        )
    return Path(spec.submodule_search_locations[0]) / "files"
