"""Photos of different colour profiles mean the same colours, in one profile, in 16 bits as in 8."""

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from diar_ops.data import ImageError, Photo, read_image, read_photos, to_one_profile
from diar_ops.data.profiles import ADOBE_RGB, DISPLAY_P3, SRGB, profile_of, shipped_profile
from tests.data.image_files import RGB8, channels_last, smooth

# Primaries as the standards state them, and linear light of each space's numbers.
PRIMARIES = {
    SRGB: ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),
    DISPLAY_P3: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
    ADOBE_RGB: ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)),
}
PATCHES = np.array([(0.8, 0.2, 0.1), (0.1, 0.7, 0.2), (0.2, 0.3, 0.9), (0.5, 0.5, 0.5), (1, 1, 1), (0.9, 0.8, 0.1)])


def linear(space: str, values: np.ndarray) -> np.ndarray:
    if space == ADOBE_RGB:
        return values ** (563 / 256)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def encoded(space: str, light: np.ndarray) -> np.ndarray:
    if space == ADOBE_RGB:
        return light ** (256 / 563)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def to_xyz(space: str) -> np.ndarray:
    """3 x 3, of linear light to XYZ under D65, which all three spaces share: no adaptation between them."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in PRIMARIES[space]]).T
    return columns * np.linalg.solve(columns, [0.3127 / 0.329, 1, 0.3583 / 0.329])


def expected(source: str, target: str) -> np.ndarray:
    matrix = np.linalg.inv(to_xyz(target)) @ to_xyz(source)
    return encoded(target, np.clip(linear(source, PATCHES) @ matrix.T, 0, 1))


def photo(space: str | None, dtype: type, name: str = "a") -> Photo:
    pixels = np.round(PATCHES.T[:, None] * np.iinfo(dtype).max).astype(dtype)
    return Photo(torch.from_numpy(pixels), name, icc_profile=space and shipped_profile(space))


@pytest.mark.parametrize("source", [None, SRGB, DISPLAY_P3])
@pytest.mark.parametrize(("depth", "levels"), [(np.uint8, 1), (np.uint16, 8)])
def test_known_patches(source: str | None, depth: type, levels: int) -> None:
    """The wider Adobe RGB takes the others in, 16 bits to a few of their levels."""
    moved, kept = to_one_profile([photo(source, depth), photo(ADOBE_RGB, depth)])
    assert moved.icc_profile == kept.icc_profile == shipped_profile(ADOBE_RGB)
    assert torch.equal(kept.pixels, photo(ADOBE_RGB, depth).pixels)
    right = expected(source or SRGB, ADOBE_RGB) * np.iinfo(depth).max
    inside = (right > 0.02 * right.max()) & (right < 0.999 * right.max())  # the curves end steeply at black
    got = channels_last(moved)[0].astype(float)
    assert np.abs(got - right)[inside].max() <= levels


def test_photos_of_one_profile_stay_as_they_are() -> None:
    for space in (None, SRGB, DISPLAY_P3):
        photos = [photo(space, np.uint8), photo(space, np.uint16)]
        assert to_one_profile(photos) == photos
    left, right = to_one_profile([photo(None, np.uint8), photo(SRGB, np.uint8)])
    assert torch.equal(left.pixels, right.pixels)
    theirs = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    other = Photo(left.pixels, "b", icc_profile=theirs)
    assert all(torch.equal(p.pixels, left.pixels) for p in to_one_profile([left, other]))


def test_the_order_of_the_photos_does_not_matter() -> None:
    photos = [photo(space, np.uint8) for space in (None, DISPLAY_P3, ADOBE_RGB)]
    forwards, backwards = to_one_profile(photos), to_one_profile(photos[::-1])[::-1]
    for a, b in zip(forwards, backwards, strict=True):
        assert torch.equal(a.pixels, b.pixels)
        assert a.icc_profile == b.icc_profile


def test_files_of_three_profiles_show_one_picture(tmp_path: Path) -> None:
    srgb = ImageCms.createProfile("sRGB")
    for name in (DISPLAY_P3, ADOBE_RGB):
        profile = shipped_profile(name)
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        picture = ImageCms.profileToProfile(Image.fromarray(smooth()), srgb, opened, renderingIntent=1)
        picture.save(tmp_path / f"{name}.png", icc_profile=profile)
    Image.fromarray(smooth()).save(tmp_path / "untagged.png")
    photos, skipped = read_photos(tmp_path)
    assert skipped == []
    for other in photos[1:]:
        assert int((other.pixels.int() - photos[0].pixels.int()).abs().max()) <= 2


def exif(space: int, interoperability: bytes = b"") -> bytes:
    def directory(*rows: tuple[int, int, int, bytes]) -> bytes:
        body = b"".join(struct.pack("<HHI", tag, kind, count) + value for tag, kind, count, value in rows)
        return struct.pack("<H", len(rows)) + body + bytes(4)

    def short(value: int) -> bytes:
        return struct.pack("<HH", value, 0)

    first = directory((0x8769, 4, 1, struct.pack("<I", 26)))
    details = directory((0xA001, 3, 1, short(space)), (0xA005, 4, 1, struct.pack("<I", 56)))
    return b"Exif\0\0II*\0\x08\0\0\0" + first + details + directory((1, 2, 4, interoperability.ljust(4, b"\0")))


def test_adobe_rgb_that_exif_alone_states(tmp_path: Path) -> None:
    for data, space in ((exif(0xFFFF, b"R03"), ADOBE_RGB), (exif(2), ADOBE_RGB), (exif(1, b"R98"), None)):
        Image.fromarray(RGB8).save(tmp_path / "a.jpg", exif=data)
        profile = read_image(tmp_path / "a.jpg").icc_profile
        assert profile == (space and shipped_profile(space))


def test_a_damaged_profile_is_said(tmp_path: Path) -> None:
    broken = shipped_profile(SRGB)[:200]
    assert broken[16:20] == b"RGB "
    profile, notes = profile_of(broken, None)
    assert profile is None
    assert notes == ("its colour profile is damaged; its colours are taken for sRGB",)
    Image.fromarray(RGB8).save(tmp_path / "a.png", icc_profile=broken)
    assert read_image(tmp_path / "a.png").notes == notes


def test_sixteen_bits_without_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(ImageError, match=r"pip install 'diar-ops\[photos\]'"):
        to_one_profile([photo(SRGB, np.uint16), photo(ADOBE_RGB, np.uint16)])
