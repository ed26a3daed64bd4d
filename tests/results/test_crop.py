"""The crop of a run: found or given, told, and written."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from diar_ops import OptionError
from diar_ops.data import read_focal, read_image
from diar_ops.results import CleanOptions, Listener, clean_photos
from diar_ops.results._crop import parse_crop
from tests.harness import generator


class Told(Listener):
    """Remembers what was told."""

    def __init__(self) -> None:
        self.sentences: list[str] = []

    def info(self, sentence: str) -> None:
        self.sentences.append(sentence)

    warning = info


def photos(folder: Path, wall: float | None) -> Path:
    """Three photos of a picture of 240 x 160 pixels at (70, 50), on a wall or all over."""
    noise = torch.rand(1, 3, 100, 130, generator=generator("crop photos"), dtype=torch.float32)
    plane = torch.nn.functional.interpolate(noise, (300, 400), mode="bicubic").clamp(0, 1)[0] * 0.7
    if wall is not None:
        outside = torch.ones(300, 400, dtype=torch.bool)
        outside[60:220, 80:320] = False
        plane[:, outside] = wall
    folder.mkdir()
    for i, (x, y) in enumerate([(10, 10), (4, 15), (17, 2)]):
        pixels = (plane[:, y : y + 240, x : x + 340] * 255).byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def run(tmp_path: Path, wall: float | None, crop: str) -> tuple[dict[str, object], Tensor, list[str], str]:
    told = Told()
    options = CleanOptions(reference="0.png", aggregator="median", crop=crop)
    clean_photos([photos(tmp_path / "in", wall)], tmp_path / "out", options, listener=told)
    document = json.loads((tmp_path / "out" / "homographies.json").read_text())
    page = (tmp_path / "out" / "report.html").read_text()
    return document, read_image(tmp_path / "out" / "clean.png").pixels, told.sentences, page


@pytest.mark.parametrize("crop", ["auto", "309.5,49.5 69.5,209.5 69.5,49.5 309.5,209.5"])
def test_picture_is_cropped_and_told(tmp_path: Path, crop: str) -> None:
    document, picture, told, page = run(tmp_path, 0.9, crop)
    canvas = document["canvas"]
    assert isinstance(canvas, dict)
    expected = torch.tensor([[69.5, 49.5], [309.5, 49.5], [309.5, 209.5], [69.5, 209.5]])
    assert (torch.tensor(canvas["corners"]) - expected).abs().max() < 0.7
    assert canvas["size"] == list(picture.shape[1:])
    assert abs(picture.shape[1] - 160) <= 1
    assert abs(picture.shape[2] - 240) <= 1
    assert len(told) == 1
    assert "times as wide as high, from its corners alone" in told[0]
    assert told[0].split("; ")[-1] in page
    assert "<polygon" in page


def test_whole_photo_is_kept_where_nothing_is_found(tmp_path: Path) -> None:
    document, picture, told, page = run(tmp_path, None, "auto")
    assert document["canvas"] is None
    assert picture.shape == (3, 240, 340)
    assert "the whole photo is kept" in told[0]
    assert told[0].split("; ")[-1] in page


def test_photos_of_parts_are_cropped_to_what_none_shows_whole(tmp_path: Path) -> None:
    plane = read_image(photos(tmp_path / "whole", 0.9) / "0.png").pixels  # the picture at (70, 50), 240 x 160
    (tmp_path / "parts").mkdir()
    for i, (x, y) in enumerate([(90, 40), (0, 0), (140, 0), (0, 80), (140, 80)]):
        part = plane[:, y : y + 160, x : x + 200]
        Image.fromarray(part.permute(1, 2, 0).numpy()).save(tmp_path / "parts" / f"{i}.png")
    told = Told()
    options = CleanOptions(reference="0.png", aggregator="median", crop="auto", canvas="all")
    cleaned = clean_photos([tmp_path / "parts"], tmp_path / "out", options, listener=told)
    assert cleaned.alignment.success.all()
    expected = torch.tensor([[-20.5, 9.5], [219.5, 9.5], [219.5, 169.5], [-20.5, 169.5]]).double()
    assert cleaned.corners is not None
    assert (cleaned.corners - expected).abs().max() < 0.7
    page = (tmp_path / "out" / "report.html").read_text()
    assert re.search(r"The canvas of all photos has 34\d x 24\d pixels", page), "told there, too"
    box = re.search(r'viewBox="(\S+) (\S+) (\S+) (\S+)" role', page)
    assert box is not None
    left, top, width, height = map(int, box.groups())
    assert left < -19, "the outline is drawn beyond the photo, too"
    assert top == 0
    assert width > 240
    assert height > 169


def test_corners_are_put_in_order() -> None:
    corners = parse_crop("10,90 12,10 95,88 90,12")
    assert corners is not None
    assert corners.tolist() == [[12, 10], [90, 12], [95, 88], [10, 90]]


@pytest.mark.parametrize("text", ["", "all", "1,2 3,4 5,6", "1,2 3,4 5,6 7,x", "1,2 3,4 5,6 7,inf", "1 2 3 4"])
def test_other_crops_are_refused(text: str) -> None:
    with pytest.raises(OptionError, match="four corners"):
        CleanOptions(crop=text)


def test_focal_length_of_exif(tmp_path: Path) -> None:
    image, exif = Image.new("RGB", (8, 6)), Image.Exif()
    image.save(tmp_path / "plain.jpg")
    exif.get_ifd(0x8769)[0xA405] = 26
    image.save(tmp_path / "phone.jpg", exif=exif)
    assert read_focal(read_image(tmp_path / "plain.jpg").exif) is None
    assert read_focal(b"no EXIF data") is None
    focal = read_focal(read_image(tmp_path / "phone.jpg").exif)
    assert focal is not None
    assert abs(focal - 0.6009) < 1e-3
