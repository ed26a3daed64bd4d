"""Draw pictures that repeat themselves, and others of the same layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from diar_ops._seeds import generator_for
from diar_ops.data import list_images, read_image
from diar_ops.textures import procedural_texture

#: (H, W, 3), uint8 sRGB.
Picture: TypeAlias = NDArray[np.uint8]
#: Draws the picture of a content, all of one layout: ``draw(layout, content, size)``.
Draw: TypeAlias = Callable[[np.random.Generator, np.random.Generator, tuple[int, int]], Picture]

_WORDS = tuple(
    word
    for line in (
        "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore et",
        "dolore magna aliqua enim minim veniam quis nostrud",
    )
    for word in line.split()
)
_LABELS = (
    "Name",
    "Street",
    "City",
    "Date",
    "Number",
    "Total",
    "Phone",
    "Account",
    "Signed",
    "Office",
    "Order",
    "Reason",
)


def random_for(*parts: object) -> np.random.Generator:
    """Return a NumPy generator seeded by words and numbers."""
    return np.random.default_rng(int(generator_for(*parts).initial_seed()))


def _sheet(size: tuple[int, int], colour: Any = (250, 250, 248)) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    sheet = Image.new("RGB", (size[1], size[0]), tuple(colour))
    return sheet, ImageDraw.Draw(sheet)


def page(layout: np.random.Generator, content: np.random.Generator, size: tuple[int, int]) -> Picture:
    """Draw lines of words; another content has other words in the same lines."""
    height, width = size
    sheet, draw = _sheet(size)
    letter = int(layout.integers(9, 14))
    font, pitch = ImageFont.load_default(letter), round(letter * layout.uniform(1.25, 1.7))
    columns = int(layout.integers(1, 3))
    margin = round(width * 0.05)
    column = (width - margin * (columns + 1)) / columns
    for y in range(margin, height - margin - letter, pitch):
        for k in range(columns):
            left, line = margin + k * (column + margin), ""
            while True:
                longer = line + content.choice(_WORDS) + " "
                if draw.textlength(longer, font=font) > column:
                    break
                line = longer
            draw.text((left, y), line, font=font, fill=(10, 10, 10))
    return np.asarray(sheet)


def form(layout: np.random.Generator, content: np.random.Generator, size: tuple[int, int]) -> Picture:
    """Draw ruled boxes with labels and entries; another content has others in the same boxes."""
    height, width = size
    sheet, draw = _sheet(size)
    font = ImageFont.load_default(int(layout.integers(9, 13)))
    margin, rows = round(width * 0.06), int(layout.integers(6, 12))
    pitch = (height - 2 * margin) / rows
    ink = tuple(int(v) for v in layout.integers(0, 120, 3))
    for row in range(rows):
        cells = int(layout.integers(1, 4))
        cell = (width - 2 * margin) / cells
        for k in range(cells):
            x, y = margin + k * cell, margin + row * pitch
            draw.rectangle([x, y, x + cell, y + pitch], outline=ink)
            text = f"{content.choice(_LABELS)} {content.integers(10 ** int(content.integers(1, 7)))}"
            draw.text((x + 4, y + 2), text, font=font, fill=(15, 15, 60))
    return np.asarray(sheet)


def facade(layout: np.random.Generator, content: np.random.Generator, size: tuple[int, int]) -> Picture:
    """Draw equal windows in a wall; the content says what is behind them."""
    height, width = size
    wall = layout.integers(90, 230, 3)
    sheet, draw = _sheet(size, wall)
    rows, columns = int(layout.integers(4, 8)), int(layout.integers(4, 8))
    pitch_y, pitch_x = height / rows, width / columns
    wide, high = pitch_x * layout.uniform(0.4, 0.65), pitch_y * layout.uniform(0.5, 0.75)
    frame = tuple(int(v) for v in (wall + layout.integers(-80, 80, 3)).clip(0, 255))
    for row in range(rows):
        for k in range(columns):
            x, y = (k + 0.5) * pitch_x - wide / 2, (row + 0.5) * pitch_y - high / 2
            glass = tuple(int(v) for v in np.array([40, 50, 60]) + content.integers(-15, 15))
            draw.rectangle([x, y, x + wide, y + high], fill=glass, outline=frame, width=2)
            if content.random() < 0.5:  # a blind, half drawn
                drawn = high * content.uniform(0.1, 0.9)
                tone = int(content.integers(110, 230))
                draw.rectangle([x + 2, y + 2, x + wide - 2, y + drawn], fill=(tone, tone, tone - 10))
            draw.line([x + wide / 2, y, x + wide / 2, y + high], fill=frame, width=2)
            draw.line([x, y + high / 3, x + wide, y + high / 3], fill=frame, width=2)
    return _weathered(np.asarray(sheet), content, 5)


def tiles(layout: np.random.Generator, content: np.random.Generator, size: tuple[int, int]) -> Picture:
    """Draw tiles with joints; the content is their stains."""
    height, width = size
    pitch = max(size) / layout.uniform(5, 10)
    tone, joint = layout.integers(120, 230, 3), layout.integers(60, 250, 3)
    y, x = np.mgrid[0:height, 0:width]
    shift = (np.floor(y / pitch) % 2) * pitch / 2 if layout.random() < 0.5 else 0.0
    u, v = ((x + shift) % pitch) / pitch, (y % pitch) / pitch
    ornament = _motif(layout, u, v)
    image = tone + 45 * ornament[..., None]
    edge = 1.5 / pitch
    joints = (u < edge) | (u > 1 - edge) | (v < edge) | (v > 1 - edge)
    image = np.where(joints[..., None], joint, image)
    row, column = np.floor(y / pitch).astype(int), np.floor((x + shift) / pitch).astype(int)
    shades = content.normal(0, 6, (row.max() + 2, column.max() + 2))
    image = image + shades[row, column][..., None]
    return _weathered(image.clip(0, 255).astype(np.uint8), content, 8)


def carpet(layout: np.random.Generator, content: np.random.Generator, size: tuple[int, int]) -> Picture:
    """Weave a motif again and again within a border; the content is the wool."""
    height, width = size
    pitch = max(size) / layout.uniform(6, 12)
    y, x = np.mgrid[0:height, 0:width]
    ornament = _motif(layout, (x % pitch) / pitch, (y % pitch) / pitch)
    dark, light = layout.integers(20, 110, 3), layout.integers(130, 240, 3)
    image = dark + (light - dark) * (0.5 + 0.5 * ornament[..., None])
    band = round(0.07 * min(size))
    border = np.ones(size, bool)
    border[band:-band, band:-band] = False
    stripes = (np.minimum.reduce([x, y, width - 1 - x, height - 1 - y]) // 4) % 2
    image = np.where(border[..., None], np.where(stripes[..., None], light, layout.integers(0, 255, 3)), image)
    return _weathered(image.clip(0, 255).astype(np.uint8), content, 12)


def equal_tiles(layout: np.random.Generator, content: np.random.Generator, size: tuple[int, int]) -> Picture:
    """Repeat a motif exactly, without an end: nothing tells one place from another."""
    height, width = size
    pitch = max(size) / int(layout.integers(8, 13))
    y, x = np.mgrid[0:height, 0:width]
    ornament = _motif(layout, (x % pitch) / pitch, (y % pitch) / pitch)
    tone = layout.integers(60, 190, 3)
    return np.asarray((tone + 60 * ornament[..., None]).clip(0, 255), np.uint8)


def _motif(layout: np.random.Generator, u: NDArray[Any], v: NDArray[Any]) -> NDArray[Any]:
    """Return an ornament, -1 to 1, over coordinates that repeat from 0 to 1."""
    value = np.zeros_like(u)
    for _ in range(4):
        i, j = layout.integers(1, 5, 2)
        value += layout.normal() * np.cos(2 * np.pi * (i * u + j * v) + layout.uniform(0, 7))
        value += layout.normal() * np.cos(2 * np.pi * (i * u - j * v) + layout.uniform(0, 7))
    value /= np.abs(value).max()
    return np.asarray(np.sign(value) * np.abs(value) ** 0.5)


def _weathered(image: Picture, content: np.random.Generator, strength: float) -> Picture:
    """Add stains of some sizes, as no two places of a wall or a cloth are the same."""
    height, width = image.shape[:2]
    stains = np.zeros((height, width))
    for cells in (8, 24, 72):
        noise = content.standard_normal((cells, cells))
        stains += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return (image + strength * stains[..., None]).clip(0, 255).astype(np.uint8)


def painting(
    folder: Path | None, content: np.random.Generator, size: tuple[int, int], other_than: np.random.Generator | None
) -> Picture:
    """Return a crop of a random image of a folder, other than that of a generator; without a folder, a drawn one."""
    height, width = size
    if folder is None:
        kind = str(content.choice(["poster", "drawing", "map"]))
        texture = procedural_texture(generator_for("look-alike", int(content.integers(2**62))), size=size, kind=kind)
        return np.asarray((255 * texture).byte().permute(1, 2, 0).numpy())
    files = list_images([folder])
    chosen = int(content.integers(len(files)))
    if other_than is not None and chosen == int(other_than.integers(len(files))):
        chosen = (chosen + 1) % len(files)
    image = read_image(files[chosen]).pixels.permute(1, 2, 0).numpy()
    scale = max(height / image.shape[0], width / image.shape[1])
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[:height, :width]
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(image if image.dtype == np.uint8 else image // 257, np.uint8)
