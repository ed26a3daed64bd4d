"""The report is one complete, safe page that tells what happened, whatever happened."""

from __future__ import annotations

import re
import sys
from datetime import datetime
from typing import Any

import numpy as np
import pytest
import torch

from diar_ops import DiarError, DtypeError, OptionError, Reason, ShapeError
from diar_ops.results import render_report
from diar_ops.results._matches import inlier_matches
from tests.harness import generator
from tests.results.finished_run import Page, sequence


def page(data: dict[str, Any], **options: Any) -> tuple[str, Page]:
    data = dict(data)
    positional = [data.pop(k) for k in ("frames", "names", "alignment", "reconstruction")]
    html = render_report(*positional, **data, **options)
    return html, Page(html)


def test_everything_is_there_and_nothing_is_loaded() -> None:
    html, parsed = page(
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
        assert expected in parsed.text
    assert "card out" not in parsed.attributes("class")
    # the only references are data inside the page
    for attribute in ("src", "href", "srcset", "data", "action"):
        assert all(value.startswith("data:image/") for value in parsed.attributes(attribute))
    assert "http" not in re.sub(r"http-equiv", "", html)
    assert "url(" not in html
    assert "@import" not in html
    assert not [tag for tag, _ in parsed.tags if tag in ("link", "iframe", "object", "embed")]
    policy = next(a for _, a in parsed.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy["content"].startswith("default-src 'none'; img-src data:")
    assert len(html) < 400_000


def test_is_accessible() -> None:
    _, parsed = page(sequence())
    images = [attrs for tag, attrs in parsed.tags if tag == "img"]
    assert len(images) == 2 + 2 * (3 + 1) + 2 * 3 + 2
    assert all(attrs.get("alt") for attrs in images)
    assert all(attrs.get("aria-label") for tag, attrs in parsed.tags if tag in ("svg", "input"))
    types = [attrs.get("type") for tag, attrs in parsed.tags if tag == "input"]
    assert types == ["range", "range", "checkbox"]
    assert next(attrs for tag, attrs in parsed.tags if tag == "html")["lang"] == "en"
    ids = parsed.attributes("id")
    assert len(ids) == len(set(ids))
    assert set(parsed.attributes("aria-labelledby")) <= set(ids)


def test_names_and_words_are_escaped() -> None:
    data = sequence()
    nasty = '<script>alert("x")</script>&.jpg'
    data["names"] = [nasty, '" onerror="x.png', "Übersicht 絵 ß.tif"]
    html, parsed = page(data, title=nasty, warnings=[nasty], settings={nasty: nasty}, timings={nasty: 1.0})
    assert "<script>alert" not in html
    assert html.count("<script>") == 3  # the page's own
    assert nasty in parsed.text
    assert "Übersicht 絵 ß.tif" in parsed.text
    assert not [attrs for _, attrs in parsed.tags if "onerror" in attrs]


@pytest.mark.parametrize("reason", [r for r in Reason if r != Reason.OK])
def test_failed_frames_say_why(reason: Reason) -> None:
    _, parsed = page(sequence(failed={2: reason}), warnings=["a.jpg was skipped: it is empty."])
    assert "2 of 3 photos were aligned" in parsed.text
    assert "left out" in parsed.text
    assert reason.explanation in parsed.text
    assert "a.jpg was skipped: it is empty." in parsed.text
    assert parsed.attributes("class").count("card out") == 1


def test_a_failure_without_a_reason_is_explained_too() -> None:
    for code in (int(Reason.OK), 99):
        data = sequence(failed={1: Reason.TOO_FEW})
        data["alignment"].reason[1] = code
        _, parsed = page(data)
        assert "It could not be tied to the reference." in parsed.text


def test_nothing_could_be_aligned() -> None:
    failed = {1: Reason.CHANCE_LEVEL, 2: Reason.TOO_FEW}
    _, parsed = page(sequence(failed=failed, verified=False))
    assert "No photo could be aligned with the reference" in parsed.text
    assert "No two photos could be matched reliably" in parsed.text
    assert not [tag for tag, _ in parsed.tags if tag == "svg"]


def test_one_photo() -> None:
    _, parsed = page(sequence(1))
    assert "A clean picture from 1 photo " in parsed.text
    assert "There is only one photo" in parsed.text


def test_one_pair_is_drawn_once() -> None:
    _, parsed = page(sequence(2))
    assert "Best pair:" in parsed.text
    assert "Weakest" not in parsed.text


@pytest.mark.parametrize(
    ("uncovered", "words"), [(0.5, "together they show 50 % of the picture"), (1 / 3072, "they show 99.9 % of the pic")]
)
def test_coverage_is_not_rounded_up(uncovered: float, words: str) -> None:
    data = sequence()
    coverage = data["reconstruction"].coverage.clone()
    coverage.view(-1)[: round(uncovered * coverage.numel())] = 0
    data["reconstruction"] = data["reconstruction"]._replace(coverage=coverage)
    _, parsed = page(data)
    assert words in parsed.text


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
        page({**data, "reconstruction": data["reconstruction"]._replace(weights=torch.zeros(2, 1, 48, 64))})
    with pytest.raises(OptionError, match="psnrr"):
        page(data, scores={"psnrr": 1.0})
    with pytest.raises(ShapeError, match="corner_error must have 3"):
        page(data, scores={"corner_error": [1.0]})


def test_missing_jinja_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(DiarError, match=re.escape("pip install 'diar-ops[examples]'")):
        page(sequence())


def stills(parsed: Page) -> list[str]:
    """The names under the pictures of the animation, in order."""
    whole = [attrs.get("alt") or "" for tag, attrs in parsed.tags if tag == "img"]
    return [alt for alt in whole if alt.startswith("Aligned photo ") or alt == "Clean picture"]


def test_the_animation_shows_the_aligned_photos_and_no_others() -> None:
    html, parsed = page(sequence(5, failed={2: Reason.TOO_FEW}))
    shown = [f"Aligned photo photo_{i}.jpg" for i in (0, 1, 3, 4)]
    assert stills(parsed) == [*shown, "Clean picture"]
    assert "photo_0.jpg (reference)" in parsed.text
    assert "evenly chosen" not in parsed.text
    assert "prefers-reduced-motion" in html
    for failed in ({1: Reason.TOO_FEW}, {}):
        html, parsed = page(sequence(1 + len(failed), failed=failed))
        assert "Do edges stand still?" not in parsed.text
        assert "flicker" not in re.sub(r"/\* flicker.*?\*/", "", html)


def test_the_animation_of_many_photos_is_bounded() -> None:
    data = sequence(30)
    data["alignment"] = data["alignment"]._replace(reference=7)
    _, parsed = page(data)
    shown = stills(parsed)
    assert len(shown) == 12 + 1
    assert shown[0] == "Aligned photo photo_7.jpg"
    assert len(set(shown)) == len(shown)
    assert {"Aligned photo photo_0.jpg", "Aligned photo photo_29.jpg"} < set(shown)
    assert "(12 of 30, evenly chosen)" in parsed.text


def test_residuals_are_measured_on_the_reference() -> None:
    """Every partner is displaced by (0.3, 0.4): half a pixel in the drawn pairs."""
    _, parsed = page(sequence())
    assert parsed.text.count("0.50 px") == 2  # the two pairs that are drawn
    assert parsed.text.count("0.30 px") >= 3  # the median spread of each photo, and the headline
    points0, points1, residual = inlier_matches(sequence()["alignment"].pairs, 1)
    torch.testing.assert_close(residual, torch.full_like(residual, 0.5), rtol=0, atol=1e-12)
    assert points0.shape == points1.shape == (20, 2)


def test_the_bend_of_the_lens_is_named_where_there_is_one() -> None:
    data = sequence()
    assert "bend of the lens" not in page(data)[1].text
    data["alignment"] = data["alignment"]._replace(distortion=-0.0123)
    assert "-1.23 %" in page(data)[1].text.replace("\u00a0", " ")


def test_unknown_weights_are_said_to_be_unknown() -> None:
    data = sequence()
    _, known = page(data)
    data["reconstruction"] = data["reconstruction"]._replace(weights=None)
    _, parsed = page(data)
    words = "Unknown: this way of putting photos together does not tell how much of each photo is in a pixel."
    assert words in parsed.text
    assert words not in known.text
    assert "Mean share of each photo in the clean picture" not in parsed.attributes("aria-label")
