"""Make sequences of photos of which some only look alike, with their truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from benchmarks.quality.lookalikes.pictures import (
    Draw,
    Picture,
    carpet,
    equal_tiles,
    facade,
    form,
    page,
    painting,
    random_for,
    tiles,
)
from diar_ops._checks import check_option

#: What repeats itself, or has others of its layout.
_DRAWN: dict[str, Draw] = {
    "page": page,
    "form": form,
    "facade": facade,
    "tiles": tiles,
    "carpet": carpet,
    "endless": equal_tiles,
}
#: Kinds of sequences, in turn; what is in them says the documentation.
FAMILIES = (*_DRAWN, "caption", "watermark", "mirrored", "foreign")
#: Photos of equal places that nothing tells apart may be refused, but not laid elsewhere.
OWN, FOREIGN, UNDECIDABLE = "own", "foreign", "undecidable"
#: Sizes (height, width) of the photos.
_SIZES = ((192, 256), (256, 192), (224, 224), (240, 320))


class LookAlikes(NamedTuple):
    """Photos of which some only look alike; the first is the reference, and shows what is sought.

    Attributes:
        frames: T photos (3, H, W) uint8.
        homography_frame_picture: (T, 3, 3) float64, frame ~ H @ picture; of a photo of something
            else, of that.
        truth: One of OWN, FOREIGN and UNDECIDABLE for each photo.
    """

    frames: list[Tensor]
    homography_frame_picture: Tensor
    truth: list[str]


def make_sequence(family: str, number: int, seed: int, paintings: Path | None) -> LookAlikes:
    """Make one sequence.

    Args:
        family: One of :data:`FAMILIES`.
        number: Of the sequence; every one is another.
        seed: Another seed gives others.
        paintings: Folder of images for what shows a painting; procedural pictures without one.

    Raises:
        OptionError: The family is unknown.
    """
    check_option("make_sequence", family in FAMILIES, f"one of {', '.join(FAMILIES)}", family)
    name = (family, number, seed)
    random = random_for("look-alikes", *name)
    size = _SIZES[int(random.integers(len(_SIZES)))]
    count = int(random.integers(4, 7))
    # One to five of ten. A house with other blinds is the same house, and twins of a carpet are no
    # look-alikes but the same: there are none.
    strangers = max(1, round(count * random.uniform(0.1, 0.5)))
    if family in ("facade", "tiles", "carpet", "endless"):
        strangers = 0
    if family in ("caption", "watermark"):
        strangers = min(strangers, int(random.integers(0, 3)))
    foreign = np.zeros(count, bool)
    foreign[1 + random.permutation(count - 1)[:strangers]] = True
    contents = [_content(family, name, t if foreign[t] else 0, size, paintings) for t in range(count)]
    homographies = [_camera(family, random, size, first=t == 0) for t in range(count)]
    photos = [_photograph(contents[t], homographies[t], size, random) for t in range(count)]
    if family == "mirrored":
        photos = [photo[:, ::-1].copy() if foreign[t] else photo for t, photo in enumerate(photos)]
    if family in ("caption", "watermark"):
        overlay = _caption(random, size) if family == "caption" else _watermark(random, size)
        photos = [_under(photo, *overlay) for photo in photos]
    developed = [_develop(photo, random) for photo in photos]
    for t in range(1, count):
        if family in ("page", "mirrored", "foreign") and random.random() < 0.15:
            developed[t], back = _turn(developed[t], int(random.integers(1, 4)))
            homographies[t] = back @ homographies[t]
    own = UNDECIDABLE if family == "endless" else OWN
    return LookAlikes(
        [torch.from_numpy(np.ascontiguousarray(p.transpose(2, 0, 1))) for p in developed],
        torch.from_numpy(np.stack(homographies)),
        [FOREIGN if other else own for other in foreign],
    )


def _content(family: str, name: Any, number: int, size: tuple[int, int], paintings: Path | None) -> Picture:
    """Return the picture that a photo shows; number 0 is that of the reference."""
    layout, content = random_for("layout", *name), random_for("content", *name, number)
    if family == "mirrored":
        content = random_for("content", *name, 0)
        kind = int(layout.integers(3))
        return painting(paintings, content, size, None) if kind == 0 else (page, form)[kind - 1](layout, content, size)
    if family in _DRAWN:
        return _DRAWN[family](layout, content, size)
    return painting(paintings, content, size, random_for("content", *name, 0) if number else None)


def _camera(family: str, random: np.random.Generator, size: tuple[int, int], *, first: bool) -> NDArray[np.float64]:
    """Return frame ~ H @ picture of a camera that is held by hand."""
    height, width = size
    zoom = random.uniform(0.8, 0.95)
    if family in ("facade", "tiles", "carpet") and not first:
        zoom = random.uniform(0.8, 1.5)
    if family == "endless":
        zoom = random.uniform(1.6, 2.2)
    corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    spread = 0.03 if first else 0.07
    angle = 0.0 if first else random.uniform(-0.12, 0.12)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    slack = max(0.0, zoom - 0.9) / 2 + (0.0 if first else 0.04)
    seen = corners * zoom + random.uniform(-spread, spread, (4, 2)) / 2 + random.uniform(-slack, slack, 2)
    target = (seen * [width, height]) @ turn + [(width - 1) / 2, (height - 1) / 2]
    source = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]])
    return np.asarray(cv2.getPerspectiveTransform(source.astype(np.float32), target.astype(np.float32)), np.float64)


def _photograph(
    picture: Picture, homography: NDArray[np.float64], size: tuple[int, int], random: np.random.Generator
) -> NDArray[np.float64]:
    """Return the photo (H, W, 3) in [0, 1] under uneven light, here and there with a thing in front."""
    height, width = size
    # Drawn at twice the size and reduced, as a sensor averages over its pixels.
    double = np.diag([2.0, 2.0, 1.0])
    double[:2, 2] = 0.5
    wall = [float(v) for v in random.uniform(50, 130, 3)]
    large = cv2.warpPerspective(
        picture, double @ homography, (2 * width, 2 * height), flags=cv2.INTER_CUBIC, borderValue=wall
    )
    photo = cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA) / 255.0
    y, x = np.mgrid[0:height, 0:width] / max(size)
    a, b = random.uniform(-0.35, 0.35, 2)
    photo = photo * (random.uniform(0.6, 1.05) * (1 + a * (x - 0.5) + b * (y - 0.5)))[..., None]
    blotch = cv2.resize(random.standard_normal((4, 4)), (width, height), interpolation=cv2.INTER_CUBIC)
    photo = photo * (1 + 0.1 * blotch[..., None])
    if random.random() < 0.4:  # a lamp, mirrored
        cx, cy, radius = random.uniform(0.2, 0.8), random.uniform(0.2, 0.6), random.uniform(0.04, 0.1)
        photo = photo + 0.8 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * radius**2))[..., None]
    if random.random() < 0.3:  # a thing in front
        centre = (int(random.integers(width)), int(random.integers(height)))
        canvas: Any = np.ascontiguousarray(photo)
        colour = [float(v) for v in random.uniform(0.05, 0.8, 3)]
        photo = cv2.circle(canvas, centre, int(min(size) * random.uniform(0.08, 0.2)), colour, -1, cv2.LINE_AA)
    return np.asarray(photo)


def _develop(photo: NDArray[np.float64], random: np.random.Generator) -> Picture:
    """Blur, add noise, compress."""
    blurred = cv2.GaussianBlur(photo, (0, 0), random.uniform(0.3, 0.8))
    noisy = blurred + random.normal(0, random.uniform(0.004, 0.02), photo.shape)
    stored = (255 * noisy.clip(0, 1)).round().astype(np.uint8)
    if random.random() < 0.5:
        _, data = cv2.imencode(".jpg", stored[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(70, 96))])
        stored = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]
    return np.asarray(stored, np.uint8)


def _caption(random: np.random.Generator, size: tuple[int, int]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return a bar with words and how opaque it is."""
    height, width = size
    high = int(height * random.uniform(0.05, 0.3))
    sheet = Image.new("RGB", (width, height), (0, 0, 0))
    draw, letter = ImageDraw.Draw(sheet), int(random.integers(9, 14))
    top = random.random() < 0.3
    start = 0 if top else height - high
    text = f"CAM-0{random.integers(9)}  2026-11-{random.integers(1, 29)} f/1.8 ISO 400 1/60s GPS 52.5N 13.4E"
    for y in range(start + 2, start + high - letter, letter + 3):
        draw.text((5, y), text, font=ImageFont.load_default(letter), fill=(255, 255, 255))
    cover = np.zeros((height, width, 1))
    cover[start : start + high] = 1.0 if random.random() < 0.6 else 0.7
    return np.asarray(sheet) / 255.0, cover


def _watermark(random: np.random.Generator, size: tuple[int, int]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return a sign over the photo, or dirt on the lens, and how opaque it is."""
    height, width = size
    cover = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(cover)
    letter = int(min(size) * random.uniform(0.06, 0.2))
    word = "".join(random.choice(list("ABCDEFGHKLMNRSTUXYZ"), 6))
    spots = 1 if random.random() < 0.5 else int(random.integers(3, 9))
    for _ in range(spots):
        at = (int(random.integers(-20, width // 2)), int(random.integers(0, height - letter)))
        draw.text(at, word, font=ImageFont.load_default(letter), fill=255)
    opaque = np.asarray(cover)[..., None] / 255.0 * random.uniform(0.3, 0.9)
    return np.full((height, width, 3), float(random.random() < 0.7)), opaque


def _under(photo: NDArray[np.float64], overlay: NDArray[Any], cover: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(photo.clip(0, 1) * (1 - cover) + overlay * cover)


def _turn(photo: Picture, quarters: int) -> tuple[Picture, NDArray[np.float64]]:
    """Turn a photo by quarters; return it and turned ~ H @ photo."""
    H = np.eye(3)
    for _ in range(quarters):
        width = photo.shape[1]
        photo = np.rot90(photo).copy()  # (x, y) goes to (y, width - 1 - x)
        H = np.array([[0, 1, 0], [-1, 0, width - 1], [0, 0, 1.0]]) @ H
    return photo, H
