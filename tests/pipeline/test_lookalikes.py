"""Look-alikes: other pages of a layout, mirrored photos, equal windows, captions that stand still."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from diar_ops import Alignment, Reason, align_sequence, corner_error
from tests import photos

#: (height, width) of the photos.
SIZE = (256, 208)
WORDS = ("lorem", "ipsum", "dolor", "sit", "amet", "consectetur", "adipiscing", "elit", "sed", "do", "eiusmod")


def page(seed: str, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return a page of lines of words, all of one layout: (H, W, 3) uint8."""
    height, width = size
    sheet = Image.new("RGB", (width, height), (250, 250, 248))
    draw, font, random = ImageDraw.Draw(sheet), ImageFont.load_default(11), photos.random(seed)
    for y in range(10, height - 14, 15):
        line = ""
        while draw.textlength(line, font=font) < width - 60:
            line += random.choice(WORDS) + " "
        draw.text((10, y), line, font=font, fill=(10, 10, 10))
    return np.asarray(sheet)


def form(seed: str) -> np.ndarray:
    """Return a form of ruled boxes with entries, all of one layout."""
    height, width = SIZE
    sheet = Image.new("RGB", (width, height), (250, 250, 248))
    draw, font, random, layout = (
        ImageDraw.Draw(sheet),
        ImageFont.load_default(11),
        photos.random(seed),
        photos.random("boxes"),
    )
    for y in range(10, height - 30, 24):
        cells = int(layout.integers(1, 3))
        for k in range(cells):
            x, cell = 10 + k * (width - 20) / cells, (width - 20) / cells
            draw.rectangle([x, y, x + cell, y + 24], outline=(60, 60, 90))
            draw.text((x + 4, y + 5), f"{random.choice(WORDS)} {random.integers(10000)}", font=font, fill=(15, 15, 60))
    return np.asarray(sheet)


def facade() -> np.ndarray:
    """Return a wall of equal windows, with blinds in some."""
    height, width = SIZE
    image, random = np.full((height, width, 3), 170, np.uint8), photos.random("facade")
    for y in range(12, height - 30, 42):
        for x in range(10, width - 24, 33):
            image[y : y + 28, x : x + 20] = 230
            image[y + 2 : y + 26, x + 2 : x + 18] = 50
            image[y : y + 28, x + 9 : x + 11] = 230
            if random.random() < 0.4:
                image[y + 2 : y + 2 + int(random.integers(4, 22)), x + 2 : x + 18] = int(random.integers(120, 200))
    return (image + random.normal(0, 3, (height, width, 1))).clip(0, 255).astype(np.uint8)


def endless() -> np.ndarray:
    """Return a pattern that repeats exactly, larger than a photo."""
    y, x = np.mgrid[0 : 3 * SIZE[0], 0 : 3 * SIZE[1]] * (2 * np.pi / 26)
    waves = np.sin(x) * np.sin(y) + 0.6 * np.sin(2 * x + 1) * np.cos(y) + 0.5 * np.cos(x - 2 * y)
    grey = (128 + 50 * waves).clip(0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def camera(k: int, fill: float = 0.84) -> np.ndarray:
    """Return frame ~ H @ picture of the k-th camera; the first is frontal."""
    height, width = SIZE
    margin = (1 - fill) / 2
    corners = np.array([[margin, margin], [1 - margin, margin], [1 - margin, 1 - margin], [margin, 1 - margin]])
    if k:
        corners += photos.random(f"camera {k}").uniform(-0.05, 0.05, (4, 2))
    source = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float32)
    return cv2.getPerspectiveTransform(source, (corners * [width, height]).astype(np.float32))


def photograph(picture: np.ndarray, k: int, H: np.ndarray) -> np.ndarray:
    """Return the k-th photo, unevenly lit, with noise: (H, W, 3) uint8."""
    height, width = SIZE
    random = photos.random(f"light {k}")
    seen = cv2.warpPerspective(picture, H, (width, height), flags=cv2.INTER_AREA, borderValue=(90, 80, 70))
    y, x = np.mgrid[0:height, 0:width] / height - 0.5
    a, b = random.uniform(-0.3, 0.3, 2)
    lit = seen * (random.uniform(0.7, 1.0) * (1 + a * x + b * y))[..., None]
    return (lit + random.normal(0, 2, lit.shape)).clip(0, 255).astype(np.uint8)


def align(pictures: list[np.ndarray]) -> tuple[Alignment, np.ndarray]:
    """Align photos of pictures to the first; return corner errors too, in pixels."""
    H = [camera(k) for k in range(len(pictures))]
    return align_photos([photograph(picture, k, H[k]) for k, picture in enumerate(pictures)], H)


def align_photos(taken: list[np.ndarray], H: list[np.ndarray]) -> tuple[Alignment, np.ndarray]:
    alignment = align_sequence([as_frame(photo) for photo in taken], reference=0)
    true = torch.from_numpy(np.stack([H[0] @ np.linalg.inv(h) for h in H]))
    return alignment, corner_error(alignment.homography_reference_frame, true, size=SIZE).numpy()


def as_frame(photo: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(photo.transpose(2, 0, 1)))


@pytest.mark.parametrize("draw", [page, form])
def test_other_sheets_of_the_same_layout_are_left_out(draw: Callable[[str], np.ndarray]) -> None:
    """Lines and boxes lie where they should, on small copies everything does: words do not."""
    alignment, error = align([draw("one"), draw("one"), draw("two"), draw("one"), draw("three")])
    assert alignment.success.tolist() == [True, True, False, True, False]
    assert error[[1, 3]].max() < 0.5


def test_a_mirrored_page_is_left_out_and_a_turned_one_is_not() -> None:
    sheet = page("one")
    H = [camera(k) for k in range(5)]
    taken = [photograph(sheet, k, H[k]) for k in range(5)]
    taken[2] = taken[2][::-1, ::-1]
    taken[4] = taken[4][:, ::-1]
    turn = np.array([[-1.0, 0, SIZE[1] - 1], [0, -1, SIZE[0] - 1], [0, 0, 1]])
    alignment, error = align_photos(taken, [*H[:2], turn @ H[2], *H[3:]])
    assert alignment.success.tolist() == [True, True, True, True, False]
    assert error[:4].max() < 0.5


def test_windows_of_a_facade_lie_over_themselves() -> None:
    alignment, error = align([facade()] * 4)
    assert alignment.success.all()
    assert error.max() < 0.5


def test_equal_places_are_not_chosen_between() -> None:
    """A photo that was moved by one period of what repeats itself exactly fits as well."""
    picture, H = endless(), []
    for k, (x, y) in enumerate([(100, 100), (107, 95), (160, 121)]):
        tilt = np.array([[1, 0, 0], [0, 1, 0], [2e-4 * k, -1e-4 * k, 1.0]])
        H.append(tilt @ np.array([[1.0, 0, -x], [0, 1, -y], [0, 0, 1]]))
    taken = [photograph(picture, k, h) for k, h in enumerate(H)]
    start = torch.from_numpy(np.stack([H[0] @ np.linalg.inv(h) for h in H]))
    period = torch.tensor([[1.0, 0, 26], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)
    for initial in (start, torch.stack([start[0], period @ start[1], start[2]])):
        alignment = align_sequence([as_frame(p) for p in taken], initial=initial, reference=0)
        assert alignment.success.tolist() == [True, False, False]
        assert alignment.reason.tolist()[1:] == [Reason.AMBIGUOUS] * 2
    assert Reason.AMBIGUOUS.explanation.startswith("It fits in more than one place")


@pytest.mark.parametrize("height", [20, 40, 70])
def test_a_caption_that_stands_still_is_not_the_scene(height: int) -> None:
    image = (255 * photos.picture("captioned", 256)[:, :208]).astype(np.uint8)
    H = [camera(k) for k in range(5)]
    taken = [photograph(image, k, H[k]) for k in range(5)]
    bar = Image.new("RGB", (SIZE[1], height))
    for y in range(3, height - 12, 16):
        text = "CAM-04  2026-11-29 10:22:41 f/1.8 ISO 400"
        ImageDraw.Draw(bar).text((4, y), text, font=ImageFont.load_default(11), fill=(255, 255, 255))
    for photo in taken:
        photo[-height:] = np.asarray(bar)
    alignment, error = align_photos(taken, H)
    assert alignment.success.all()
    assert error.max() < 1
