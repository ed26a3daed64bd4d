"""The report is one complete, safe page that tells what happened, whatever happened."""

from __future__ import annotations

import base64
import re
import sys
from datetime import datetime
from html.parser import HTMLParser
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from diar_ops import (
    Alignment,
    DiarError,
    DtypeError,
    HomographyEstimate,
    Matches,
    OptionError,
    PairMatches,
    Reason,
    Reconstruction,
    ShapeError,
    undistort_points,
)
from diar_ops.results import _pictures as pictures
from diar_ops.results import render_report
from diar_ops.results._flicker import flicker
from tests.harness import generator

SIZE = (48, 64)
VOID = {"meta", "img", "input", "br", "link", "image", "path", "circle"}


class Page(HTMLParser):
    """Checks that tags nest and collects what a reader and a browser would see."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self.stack == [], "tags left open"
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag, f"</{tag}> closes another tag"

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1] not in ("script", "style"):
            self.words.append(data)

    def attributes(self, name: str) -> list[str]:
        return [attrs[name] or "" for _, attrs in self.tags if name in attrs]


def sequence(
    count: int = 3, *, failed: dict[int, Reason] | None = None, verified: bool = True
) -> dict[str, Any]:
    """A reference and shifted copies of it; frames of two sizes and depths."""
    failed = failed or {}
    random = generator("report sequence")
    height, width = SIZE
    success = torch.tensor([i not in failed for i in range(count)])
    reason = torch.tensor([int(failed.get(i, Reason.OK)) for i in range(count)])
    homography = torch.eye(3, dtype=torch.float64).repeat(count, 1, 1)
    for i in range(1, count):
        if success[i]:
            homography[i, 0, 2] = 2.0 * i
    frames = [
        torch.randint(0, 256, (3, height, width), generator=random).to(torch.uint8)
        if i % 2 == 0
        else torch.randint(0, 65536, (3, height + 8, width), generator=random).to(torch.uint16)
        for i in range(count)
    ]
    index = torch.combinations(torch.arange(count)) if count > 1 else torch.empty(0, 2).long()
    points0 = torch.rand(len(index), 20, 2, generator=random, dtype=torch.float64) * 40
    ok = success[index].all(dim=1) & verified
    homography_j_i = torch.linalg.inv(homography[index[:, 1]]) @ homography[index[:, 0]]
    shift = homography_j_i[:, None, :2, 2]
    points1 = points0 + shift + torch.tensor([0.3, 0.4], dtype=torch.float64)
    valid = torch.ones(len(index), 20, dtype=torch.bool)
    estimate = HomographyEstimate(
        homography_j_i,
        valid & ok[:, None],
        ok,
        torch.zeros(len(index), dtype=torch.int64),
        torch.zeros(len(index), dtype=torch.int64),
    )
    matches = Matches(points0, points1, torch.ones(len(index), 20), valid)
    weights = success.float()[:, None, None, None].expand(count, 1, height, width) / success.sum()
    return {
        "frames": frames,
        "names": [f"photo_{i}.jpg" for i in range(count)],
        "alignment": Alignment(
            homography,
            success,
            reason,
            torch.where(success, 40, 0),
            success.double(),
            0,
            SIZE,
            torch.linspace(0.1, 0.5, 5).repeat(count, 1).where(success[:, None], torch.nan),
            PairMatches(index, matches, estimate),
        ),
        "reconstruction": Reconstruction(
            torch.rand(3, height, width, generator=random),
            success.sum().expand(1, height, width),
            weights,
            torch.ones(count, 3),
        ),
    }


def page(data: dict[str, Any], **options: Any) -> tuple[str, Page]:
    data = dict(data)
    positional = [data.pop(k) for k in ("frames", "names", "alignment", "reconstruction")]
    html = render_report(*positional, **data, **options)
    return html, Page(html)


def test_everything_is_there_and_nothing_is_loaded() -> None:
    html, seen = page(
        sequence(),
        title="Herbarium sheet 12",
        timings={"match": 95.0, "align": 2.5},
        scores={"psnr": 31.26, "psnr_gain": 33.0, "ssim": 0.9421, "corner_error": [0, 0.2, 0.4]},
        settings={
            "aggregator": "median",
            "refine": True,
            "max_size": None,
            "photos": [f"{i}.jpg" for i in range(9)],
            "none": [],
        },
        created=datetime(2030, 5, 4, 13, 7),
    )
    for expected in [
        "Herbarium sheet 12",
        "04 May 2030, 13:07",
        "All 3 photos were aligned",
        "photo_0.jpg",
        "photo_1.jpg",
        "photo_2.jpg",
        "reference",
        "aligned",
        "3 of 3",
        "64 \N{MULTIPLICATION SIGN} 48",
        "1 min 35 s",
        "31.3 dB",
        "33.0 dB",
        "0.942",
        "0.20 px",
        "median",
        "yes",
        "torch",
        "Best pair:",
        "Weakest verified pair:",
        "How to read this page",
        "0.jpg, 1.jpg, 2.jpg, 3.jpg and 5 more",
    ]:
        assert expected in seen.text
    assert "card out" not in seen.attributes("class")
    # the only references are data inside the page
    for attribute in ("src", "href", "srcset", "data", "action"):
        assert all(value.startswith("data:image/") for value in seen.attributes(attribute))
    assert "http" not in re.sub(r"http-equiv", "", html)
    assert "url(" not in html
    assert "@import" not in html
    assert not [tag for tag, _ in seen.tags if tag in ("link", "iframe", "object", "embed")]
    policy = next(a for _, a in seen.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy["content"].startswith("default-src 'none'; img-src data:")
    assert len(html) < 400_000


def test_is_accessible() -> None:
    _, seen = page(sequence())
    images = [attrs for tag, attrs in seen.tags if tag == "img"]
    assert len(images) == 2 + 2 * (3 + 1) + 2 * 3 + 2
    assert all(attrs.get("alt") for attrs in images)
    assert all(attrs.get("aria-label") for tag, attrs in seen.tags if tag in ("svg", "input"))
    types = [attrs.get("type") for tag, attrs in seen.tags if tag == "input"]
    assert types == ["range", "range", "checkbox"]
    assert next(attrs for tag, attrs in seen.tags if tag == "html")["lang"] == "en"
    ids = seen.attributes("id")
    assert len(ids) == len(set(ids))
    assert set(seen.attributes("aria-labelledby")) <= set(ids)


def test_names_and_words_are_escaped() -> None:
    data = sequence()
    nasty = '<script>alert("x")</script>&.jpg'
    data["names"] = [nasty, '" onerror="x.png', "Übersicht 絵 ß.tif"]
    html, seen = page(
        data, title=nasty, warnings=[nasty], settings={nasty: nasty}, timings={nasty: 1.0}
    )
    assert "<script>alert" not in html
    assert html.count("<script>") == 3  # the page's own
    assert nasty in seen.text
    assert "Übersicht 絵 ß.tif" in seen.text
    assert not [attrs for _, attrs in seen.tags if "onerror" in attrs]


@pytest.mark.parametrize("reason", [r for r in Reason if r != Reason.OK])
def test_failed_frames_say_why(reason: Reason) -> None:
    _, seen = page(sequence(failed={2: reason}), warnings=["a.jpg was skipped: it is empty."])
    assert "2 of 3 photos were aligned" in seen.text
    assert "left out" in seen.text
    assert reason.explanation in seen.text
    assert "a.jpg was skipped: it is empty." in seen.text
    assert seen.attributes("class").count("card out") == 1


def test_a_failure_without_a_reason_is_explained_too() -> None:
    for code in (int(Reason.OK), 99):
        data = sequence(failed={1: Reason.TOO_FEW})
        data["alignment"].reason[1] = code
        _, seen = page(data)
        assert "It could not be tied to the reference." in seen.text


def test_nothing_could_be_aligned() -> None:
    failed = {1: Reason.CHANCE_LEVEL, 2: Reason.TOO_FEW}
    _, seen = page(sequence(failed=failed, verified=False))
    assert "No photo could be aligned with the reference" in seen.text
    assert "No two photos could be matched reliably" in seen.text
    assert not [tag for tag, _ in seen.tags if tag == "svg"]


def test_one_photo() -> None:
    _, seen = page(sequence(1))
    assert "A clean picture from 1 photo " in seen.text
    assert "There is only one photo" in seen.text


def test_one_pair_is_drawn_once() -> None:
    _, seen = page(sequence(2))
    assert "Best pair:" in seen.text
    assert "Weakest" not in seen.text


@pytest.mark.parametrize(
    ("uncovered", "said"),
    [(0.5, "together they show 50 % of the picture"), (1 / 3072, "they show 99.9 % of the pic")],
)
def test_coverage_is_not_rounded_up(uncovered: float, said: str) -> None:
    data = sequence()
    coverage = data["reconstruction"].coverage.clone()
    coverage.view(-1)[: round(uncovered * coverage.numel())] = 0
    data["reconstruction"] = data["reconstruction"]._replace(coverage=coverage)
    _, seen = page(data)
    assert said in seen.text


def test_fifty_big_frames_stay_a_small_page() -> None:
    data = sequence(50)
    big = torch.randint(0, 256, (3, 900, 1200), generator=generator("big")).to(torch.uint8)
    data["frames"] = [big] * 50
    html, _ = page(data)
    assert len(html) < 12_000_000  # noise is the worst case of JPEG; photos take a fifth


def test_bfloat16_and_gradients_are_welcome() -> None:
    data = sequence()
    result = data["reconstruction"]
    data["reconstruction"] = result._replace(
        image=result.image.bfloat16().requires_grad_(),
        weights=result.weights.bfloat16().requires_grad_(),
        gain=result.gain.bfloat16(),
    )
    page(data)


def test_nan_in_the_picture_does_not_stop_the_report() -> None:
    data = sequence()
    image = data["reconstruction"].image.clone()
    image[:, :4] = float("nan")
    data["reconstruction"] = data["reconstruction"]._replace(image=image)
    html, _ = page(data)
    assert "nan" not in Page(html).text


def test_refuses_what_does_not_fit() -> None:
    data = sequence()
    with pytest.raises(ShapeError, match="one length, got 3, 2 and 3"):
        page({**data, "names": ["a", "b"]})
    with pytest.raises(ShapeError, match="frames"):
        page({**data, "frames": [torch.zeros(1, 4, 4)] * 3})
    with pytest.raises(DtypeError, match="frames"):
        page({**data, "frames": [np.zeros((3, 4, 4))] * 3})
    with pytest.raises(ShapeError, match="weights"):
        page(
            {
                **data,
                "reconstruction": data["reconstruction"]._replace(
                    weights=torch.zeros(2, 1, 48, 64)
                ),
            }
        )
    with pytest.raises(OptionError, match="psnrr"):
        page(data, scores={"psnrr": 1.0})
    with pytest.raises(ShapeError, match="corner_error must have 3"):
        page(data, scores={"corner_error": [1.0]})


def test_missing_jinja_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(DiarError, match=re.escape("pip install 'diar-ops[examples]'")):
        page(sequence())


def stills(seen: Page) -> list[str]:
    """The names under the pictures of the animation, in order."""
    whole = [attrs.get("alt") or "" for tag, attrs in seen.tags if tag == "img"]
    return [alt for alt in whole if alt.startswith("Aligned photo ") or alt == "Clean picture"]


def test_the_animation_shows_the_aligned_photos_and_no_others() -> None:
    html, seen = page(sequence(5, failed={2: Reason.TOO_FEW}))
    shown = [f"Aligned photo photo_{i}.jpg" for i in (0, 1, 3, 4)]
    assert stills(seen) == [*shown, "Clean picture"]
    assert "photo_0.jpg (reference)" in seen.text
    assert "evenly chosen" not in seen.text
    assert "prefers-reduced-motion" in html
    for failed in ({1: Reason.TOO_FEW}, {}):
        html, seen = page(sequence(1 + len(failed), failed=failed))
        assert "Do edges stand still?" not in seen.text
        assert "flicker" not in re.sub(r"/\* flicker.*?\*/", "", html)


def test_the_animation_of_many_photos_is_bounded() -> None:
    data = sequence(30)
    data["alignment"] = data["alignment"]._replace(reference=7)
    _, seen = page(data)
    shown = stills(seen)
    assert len(shown) == 12 + 1
    assert shown[0] == "Aligned photo photo_7.jpg"
    assert len(set(shown)) == len(shown)
    assert {"Aligned photo photo_0.jpg", "Aligned photo photo_29.jpg"} < set(shown)
    assert "(12 of 30, evenly chosen)" in seen.text


# --- the pictures -----------------------------------------------------------------------------


def test_residuals_are_measured_on_the_reference() -> None:
    """Every partner is displaced by (0.3, 0.4): half a pixel in the drawn pairs."""
    _, seen = page(sequence())
    assert seen.text.count("0.50 px") == 2  # the two pairs that are drawn
    assert seen.text.count("0.30 px") >= 3  # the median spread of each photo, and the headline
    points0, points1, residual = pictures.residuals_of_pair(sequence()["alignment"].pairs, 1)
    np.testing.assert_allclose(residual, 0.5, atol=1e-12)
    assert points0.shape == points1.shape == (20, 2)


def test_the_bend_of_the_lens_is_named_where_there_is_one() -> None:
    data = sequence()
    assert "bend of the lens" not in page(data)[1].text
    data["alignment"] = data["alignment"]._replace(distortion=-0.0123)
    assert "-1.23 %" in page(data)[1].text.replace("\u00a0", " ")


def test_shrink_keeps_each_depth_in_range() -> None:
    for dtype, top in ((torch.uint8, 255), (torch.uint16, 65535), (torch.float32, 1)):
        image = torch.tensor([0, top], dtype=torch.float64).repeat_interleave(20).to(dtype)
        small = pictures.shrink(image.expand(3, 30, 40), 20)
        assert small.shape == (15, 20, 3)
        assert small.dtype == np.float32
        np.testing.assert_array_equal(small[:, :10], 0)
        np.testing.assert_array_equal(small[:, 10:], 1)


def test_source_map_names_the_strongest_frame() -> None:
    weights = torch.zeros(3, 1, 8, 8)
    weights[0, :, :, :4] = 1.0
    weights[1, :, :, 4:6] = 0.6
    weights[2, :, :, 4:6] = 0.4
    coloured = pictures.source_map(
        weights, np.full((8, 8, 3), 0.5), ["#ff0000", "#00ff00", "#0000ff"]
    )
    assert coloured[0, :, :3].argmax(-1).tolist()[:6] == [0, 0, 0, 0, 1, 1]
    assert coloured[0, :, 3].tolist() == [1, 1, 1, 1, 1, 1, 0, 0]


def test_difference_map_follows_the_homography_and_the_gain() -> None:
    """A darker copy, shifted by ten pixels, with one spot added: only the spot differs."""
    y, x = np.mgrid[0:60, 0:80]
    clean = (0.3 + 0.002 * np.stack((x, y, x + y), axis=-1)).astype(np.float32)
    linear = pictures._to_linear(clean)
    frame = pictures._to_display(np.roll(linear, -10, axis=1) / 2)
    frame[20:30, 20:30] = 1.0
    homography = np.array([[1.0, 0, 10], [0, 1, 0], [0, 0, 1]])
    laid, share = pictures.difference_map(
        frame, clean, homography, np.full(3, 2.0), (60, 80), (60, 80)
    )
    shown = laid[..., 3] > 0
    assert shown[:, 10:].all()
    assert not shown[:, :10].any()
    orange = laid[..., 0] - laid[..., 2] > 0.2
    expected = np.zeros_like(orange)
    expected[20:30, 30:40] = True
    np.testing.assert_array_equal(orange & shown, expected)
    assert share == pytest.approx(100 / (60 * 70))


def test_difference_map_hides_what_lies_behind_the_horizon() -> None:
    clean = np.full((50, 50, 3), 0.5, np.float32)
    # the frame's right part would land behind the camera: w = 1 - x / 30
    homography = np.array([[1.0, 0, 0], [0, 1, 0], [-1 / 30, 0, 1]])
    laid, _ = pictures.difference_map(clean, clean, homography, np.ones(3), (50, 50), (50, 50))
    x = np.arange(50)
    inverse = np.linalg.inv(homography)
    in_front = inverse[2, 0] * x + 1 > 0
    assert not laid[:, ~in_front, 3].any()
    assert laid[10, 5, 3] == 1


@pytest.mark.parametrize("k", [0.0, -0.08])
def test_aligned_stills_stand_still(k: float) -> None:
    """Photos that show one picture from elsewhere, turned, shifted, bent, become the picture."""
    height, width = 480, 600
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)

    def picture(x: Any, y: Any) -> Any:
        waves = (np.sin(x / 9) * np.cos(y / 7), np.sin((x + y) / 11), np.cos((x - 2 * y) / 13))
        return np.stack([0.5 + 0.3 * wave for wave in waves])

    turned = np.array([[0.9, -0.2, 71.3], [0.21, 0.95, -30.6], [1e-5, -2e-5, 1.0]])
    pixels = torch.from_numpy(np.stack((x.ravel(), y.ravel()), axis=1))
    bend = torch.tensor(k, dtype=torch.float64)
    straight = undistort_points(pixels, bend, size=(height, width)).points.numpy()
    places = [straight, pictures.transform(turned, straight)]
    data = sequence(2)
    data["frames"] = [
        torch.from_numpy(picture(*place.T.reshape(2, height, width))).float() for place in places
    ]
    data["alignment"] = data["alignment"]._replace(
        homography_reference_frame=torch.from_numpy(np.stack((np.eye(3), turned))),
        size=(height, width),
        distortion=k,
    )
    data["reconstruction"] = Reconstruction(
        torch.from_numpy(picture(x, y)).float(),
        torch.full((1, height, width), 2),
        torch.full((2, 1, height, width), 0.5),
        torch.ones(2, 3),
    )
    shown = flicker(data["frames"], data["names"], data["alignment"], data["reconstruction"])
    assert shown is not None
    assert [still.name for still in shown.stills] == ["photo_0.jpg", "photo_1.jpg", ""]
    assert shown.size == (height, width)
    assert shown.detail == 160
    whole = np.stack([decoded(still.whole) for still in shown.stills])
    detail = np.stack([decoded(still.detail) for still in shown.stills])
    assert whole.shape == (3, height, width, 3)
    assert detail.shape == (3, 160, 160, 3)
    # Grey is where the turned photo shows nothing; elsewhere all three are one picture.
    empty = (np.abs(whole[1] - 0.5) < 0.02).all(axis=-1)
    assert 0.05 < empty.mean() < 0.5
    assert np.abs(whole[1] - whole[0])[~empty].mean() < 0.02
    assert np.abs(detail - detail[2]).mean() < 0.02
    for quarter, (left, top, across, down) in enumerate(shown.spots):
        assert (across, down) == pytest.approx((100 * 80 / width, 100 * 80 / height))
        assert left // 50 == (left + across - 1e-6) // 50 == quarter % 2
        assert top // 50 == (top + down - 1e-6) // 50 == quarter // 2
    # three pixels off, and it jumps
    moved = data["alignment"].homography_reference_frame.clone()
    moved[1, :2] += 3.0 * moved[1, 2]
    off = data["alignment"]._replace(homography_reference_frame=moved)
    shown = flicker(data["frames"], data["names"], off, data["reconstruction"])
    assert shown is not None
    detail = np.stack([decoded(still.detail) for still in shown.stills])
    assert np.abs(detail[1] - detail[0]).mean() > 0.05
    assert np.abs(detail[2] - detail[0]).mean() < 0.02


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 2), (40, 3), (5, 2000)])
def test_tiny_pictures_flicker_too(size: tuple[int, int]) -> None:
    data = sequence(2)
    alignment = data["alignment"]._replace(size=size)
    reconstruction = Reconstruction(
        torch.rand(3, *size, generator=generator("tiny")),
        torch.zeros(1, *size, dtype=torch.int64),
        torch.zeros(2, 1, *size),
        torch.ones(2, 3),
    )
    shown = flicker(data["frames"], data["names"], alignment, reconstruction)
    assert shown is not None
    assert len(shown.stills) == 3
    assert decoded(shown.stills[1].detail).shape[0] == shown.detail
    for left, top, across, down in shown.spots:
        assert 0 <= left <= 100 - across + 1e-9
        assert 0 <= top <= 100 - down + 1e-9


def decoded(uri: str) -> Any:
    data = np.frombuffer(base64.b64decode(uri.partition(",")[2]), np.uint8)
    image: Any = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return image[..., ::-1] / 255


def test_frame_colours_are_distinct() -> None:
    assert len(set(pictures.frame_colours(50))) == 50
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in pictures.frame_colours(50))
