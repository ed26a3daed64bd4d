"""Pairs of photos: the homography is that between them, whatever was done to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from diar_ops import OptionError, transform_points
from diar_ops.training.descriptors.pairs import PairRanges, ViewPairs, fixed_pairs, make_pair, points_visible
from tests.harness import generator
from tests.training.descriptors.tiny import tiny_views

SIDE = 96


def ramps(frames: int = 2) -> dict[str, Tensor]:
    """A sequence whose light says where on the label it comes from: R is x, G is y."""
    x = (torch.arange(SIDE) / SIDE).expand(SIDE, SIDE)
    label = torch.stack([0.05 + 0.9 * x, 0.05 + 0.9 * x.mT, torch.full((SIDE, SIDE), 0.5)])
    seen = torch.ones(frames, 1, SIDE, SIDE, dtype=torch.bool)
    seen[1, :, :20] = False
    return {
        "radiance": label.expand(frames, -1, -1, -1).half(),
        "seen": seen,
        "homography_frame_label": torch.eye(3, dtype=torch.float64).expand(frames, 3, 3),
    }


def places(image: Tensor) -> Tensor:
    """Where on the label the pixels of an ideal photo come from, (2, c, c)."""
    linear = torch.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055).clamp_min(0) ** 2.4)
    return (linear[:2] - 0.05) / 0.9 * SIDE


@pytest.mark.parametrize("near", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_both_photos_show_the_same_where_the_homography_says(near: bool, seed: int) -> None:
    ranges = PairRanges(plain=1.0)
    pair = make_pair(ramps(), 48, ranges, generator(f"ramps {seed}"), near=near)
    assert pair["image0"].shape == pair["image1"].shape == (3, 48, 48)
    assert pair["near"] == near
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    points = torch.stack([x, y], dim=-1).view(1, -1, 2)
    H = pair["homography_1_0"][None].float()
    projected, _ = transform_points(points, H)
    both = points_visible(points, pair["visible0"][None]) & points_visible(projected, pair["visible1"][None])
    assert both.sum() > 50
    one = places(pair["image0"]).flatten(1).T[both[0]]
    grid = ((projected[both] + 0.5) / 48 * 2 - 1).view(1, 1, -1, 2)
    other = torch.nn.functional.grid_sample(
        places(pair["image1"])[None].nan_to_num(), grid, align_corners=False, padding_mode="border"
    )[0, :, 0].T
    # Eight bits of sRGB, and edges that are interpolated.
    assert (one - other).norm(dim=1).quantile(0.9) < 1.0
    if near:
        assert (projected - points).norm(dim=-1).max() < ranges.offset * 2.5


def test_what_is_hidden_is_not_seen() -> None:
    ranges = PairRanges(rotation=0, scale=1, perspective=0, shift=0, plain=1.0)
    pair = make_pair(ramps(), 48, ranges, generator("hidden"))
    rows = [places(pair[f"image{k}"])[1][pair[f"visible{k}"][0]] for k in (0, 1)]
    assert sorted(float(values.min()) > 18 for values in rows)[-1]
    assert not pair["visible0"][0][pair["image0"].isnan().any(dim=0)].any()


def test_an_item_depends_on_seed_step_and_position_alone(tmp_path: Path) -> None:
    def pairs(**options: Any) -> ViewPairs:
        views = tiny_views(tmp_path)
        return ViewPairs(views, batch=3, crop=32, ranges=PairRanges(near=0.4), **options)

    one, other = pairs(seed=3), pairs(seed=3)
    for index in ((5, 2), (0, 0), (5, 1)):
        other[0, 1]
        for name, value in one[index].items():
            assert torch.equal(value.nan_to_num(-1), other[index][name].nan_to_num(-1)), name
    assert not torch.equal(one[0, 0]["homography_1_0"], one[0, 1]["homography_1_0"])
    assert not torch.equal(one[0, 0]["homography_1_0"], pairs(seed=4)[0, 0]["homography_1_0"])
    assert [bool(one[7, place]["near"]) for place in range(3)] == [True, False, False]
    assert one.sequences == 3


def test_fixed_pairs_are_fixed(tmp_path: Path) -> None:
    views = tiny_views(tmp_path, count=2)
    ranges = PairRanges()
    few = fixed_pairs(views, 2, crop=32, ranges=ranges, seed=1)
    more = fixed_pairs(views, 4, crop=32, ranges=ranges, seed=1)
    assert (len(few), len(more)) == (2, 4)
    for one, other in zip(few, more, strict=False):
        assert torch.equal(one["homography_1_0"], other["homography_1_0"])
        assert not one["near"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rotation": 181}, "PairRanges.rotation: expected 0 to 180"),
        ({"scale": 0.5}, "PairRanges.scale: expected 1 to 10"),
        ({"near": -1}, "PairRanges.near: expected 0 to 1"),
    ],
)
def test_what_cannot_be_drawn_from_is_refused(options: dict[str, float], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        PairRanges(**options)


def test_exceptions() -> None:
    with pytest.raises(OptionError, match="views of 2 frames or more"):
        ViewPairs(tiny_views(None, frames=1), batch=2)
    with pytest.raises(OptionError, match="crop >= 16"):
        ViewPairs(tiny_views(None), batch=2, crop=8)
