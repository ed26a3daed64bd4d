"""Only what should grow grows, and by as much as was asked for."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.quality.robustness.degraded_photos import Photos, choose_pictures, render_degraded_photos
from benchmarks.quality.robustness.factors import FACTORS
from benchmarks.quality.robustness.scenes import mild_scene, search_scales, thumbnail
from diar_ops import OptionError, corner_error, warp_homography
from diar_ops._files import write_image
from diar_ops.scene import scene_homography
from tests.harness import assert_close

SIDE, FRAMES = 64, 4
EYE = torch.eye(3, dtype=torch.float64)


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    return choose_pictures([], 0, (SIDE, SIDE))


@pytest.fixture(scope="module")
def mild(pictures: Tensor) -> Photos:
    return render_degraded_photos("occluded", 0.0, 0, pictures, FRAMES)


@cache
def levels_of(factor: str) -> list[Photos]:
    pictures = choose_pictures([], 0, (SIDE, SIDE))
    levels = FACTORS[factor].levels
    return [render_degraded_photos(factor, level, 0, pictures, FRAMES) for level in levels[::2]]


@pytest.mark.parametrize("factor", FACTORS)
def test_the_factor_grows_and_cameras_stay(factor: str, pictures: Tensor, mild: Photos) -> None:
    photos = levels_of(factor)
    measured = [p.measured for p in photos]
    assert measured[0] == pytest.approx(0, abs=1e-6)
    assert all(a < b for a, b in pairwise(measured))
    for p in photos:
        assert p.frames.shape == (FRAMES, 3, SIDE, SIDE)
        assert 0 <= p.frames.min() <= p.frames.max() <= 1
        assert torch.equal(p.label, mild.label)
        assert not p.foreign[0]
        error = corner_error(p.homography_frame_label[0], EYE, size=(SIDE, SIDE))
        assert error < 1e-6, "frame 0 sees exactly the picture"
        if factor != "tilt":
            same = ~p.foreign
            H = mild.homography_frame_label
            assert_close(p.homography_frame_label[same], H[same], atol=1e-9)
    if factor not in ("noise", "tilt"):
        assert torch.equal(photos[0].frames, mild.frames), "the first level is the same for all"
    again = render_degraded_photos(factor, FACTORS[factor].levels[2], 0, pictures, FRAMES)
    assert torch.equal(again.frames, photos[1].frames)


@pytest.mark.parametrize(("factor", "tolerance"), [("occluded", 0.04), ("saturated", 0.04)])
def test_shares_are_about_what_was_asked_for(factor: str, tolerance: float) -> None:
    for level, photos in zip(FACTORS[factor].levels[::2], levels_of(factor), strict=True):
        assert photos.measured == pytest.approx(level, abs=tolerance)


def test_what_covers_leaves_the_rest_alone(mild: Photos) -> None:
    before = torch.zeros(FRAMES, 1, SIDE, SIDE, dtype=torch.bool)
    for photos in levels_of("occluded")[1:]:
        changed = ((photos.frames - mild.frames).abs() > 0.08).any(dim=1, keepdim=True)
        # JPEG carries a little of it into blocks of 16 pixels around.
        assert changed.double().mean() < photos.measured + 0.2
        assert (changed | ~before).double().mean() > 0.97, "it only grows"
        before = changed


def test_cameras_tilt_by_the_level(pictures: Tensor) -> None:
    for level in (0.0, 30.0, 70.0):
        photos = render_degraded_photos("tilt", level, 0, pictures, FRAMES)
        assert photos.measured == pytest.approx(level, abs=1e-4)


def test_foreign_frames_join_one_by_one(pictures: Tensor) -> None:
    before = torch.zeros(10, dtype=torch.bool)
    for level in FACTORS["foreign"].levels:
        photos = render_degraded_photos("foreign", level, 0, pictures, 10)
        assert int(photos.foreign.sum()) == round(10 * level)
        assert photos.measured == round(10 * level) / 10
        assert bool((photos.foreign | ~before).all())
        before = photos.foreign
    # Laid over the label they show their own picture, corner on corner.
    H = torch.linalg.inv(photos.homography_frame_label).float()
    laid = warp_homography(photos.frames, H, size=(SIDE, SIDE))

    def likeness(t: int, picture: Tensor) -> float:
        seen = laid.valid[t].expand(3, -1, -1)
        both = torch.stack((laid.image[t][seen], picture[seen]))
        return float(torch.corrcoef(both)[0, 1])

    own, other = pictures
    for t in range(10):
        right, wrong = (other, own) if photos.foreign[t] else (own, other)
        assert likeness(t, right) > likeness(t, wrong) + 0.2


def test_a_thumbnail_shows_the_same() -> None:
    scene, _ = mild_scene("x", 3, (96, 80))
    small = thumbnail(scene, (48, 20))
    shrink = torch.diag(torch.tensor([0.25, 0.5, 1], dtype=torch.float64))
    shrink[0, 2], shrink[1, 2] = (0.25 - 1) / 2, (0.5 - 1) / 2
    expected = shrink @ scene_homography(scene) @ torch.linalg.inv(shrink)
    error = corner_error(scene_homography(small), expected, size=(48, 20))
    assert error.max() < 1e-9


def test_scales_are_found_for_each_frame() -> None:
    per_frame = torch.tensor([[1.0, 2.0, 100.0]], dtype=torch.float64)
    result = search_scales(lambda s: s * per_frame, 5.0, 0.01, 4.0, 3)
    assert_close(result[0, 1:], torch.tensor([2.5, 0.05], dtype=torch.float64), rtol=0.01)
    assert result[0, 0] == pytest.approx(4, rel=0.01), "what cannot be reached gets the largest"


def test_pictures_of_files_and_of_none(tmp_path: Path) -> None:
    for k in range(5):
        write_image(tmp_path / f"{k}.png", torch.full((3, 20, 30), 40 * k, dtype=torch.uint8))
    seen = []
    for sequence in range(2):
        chosen = choose_pictures([tmp_path], sequence, (16, 16))
        assert chosen.shape == (2, 3, 16, 16)
        assert torch.equal(chosen, choose_pictures([str(tmp_path)], sequence, (16, 16)))
        seen += [round(float(c.mean()) * 255 / 40) for c in chosen]
    assert len(set(seen)) == 4, "no picture twice while there are others"
    own, other = choose_pictures([], 0, (16, 16))
    assert not torch.equal(own, other)


def test_one_picture_is_too_few(tmp_path: Path) -> None:
    write_image(tmp_path / "0.png", torch.zeros(3, 8, 8, dtype=torch.uint8))
    with pytest.raises(OptionError, match=r"two pictures are needed, .* holds one"):
        choose_pictures([tmp_path], 0, (8, 8))


def test_unknown_factors(pictures: Tensor) -> None:
    with pytest.raises(OptionError, match="one of occluded, saturated"):
        render_degraded_photos("haze", 0.5, 0, pictures, 2)
