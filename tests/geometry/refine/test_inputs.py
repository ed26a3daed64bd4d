"""Pictures that do not match, masks, other features and sizes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops import corner_error, refine_homography
from tests.geometry.refine_scene import SIZE, error, moved_corners, pair, texture


def test_unrelated_pictures_do_not_agree() -> None:
    one, two = texture("refine one", 1, 3, *SIZE), texture("refine two", 1, 3, *SIZE)
    refined = refine_homography(one, two, moved_corners("nowhere", 3.0, 6))
    assert (refined.agreement < 0.1).all()


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_flat_pictures_are_no_evidence(level: float) -> None:
    flat, picture = torch.full((1, 3, *SIZE), level), texture("beside flat", 1, 3, *SIZE).float()
    start = moved_corners("flat start", 2.0).float()
    for pair_of in ((flat, picture), (picture, flat), (flat, flat)):
        refined = refine_homography(*pair_of, start)
        assert not refined.success
        torch.testing.assert_close(refined.homography, start / start[:, 2:, 2:])


def test_a_small_source_in_a_large_destination() -> None:
    source, destination, truth = pair("refine small", 2.0)
    small = F.interpolate(source, (30, 38), mode="area")
    sy, sx = SIZE[0] / 30, SIZE[1] / 38
    grow = torch.tensor([[sx, 0, sx / 2 - 0.5], [0, sy, sy / 2 - 0.5], [0, 0, 1]]).double()
    large = F.interpolate(destination, scale_factor=4, mode="bicubic").clamp(0, 1)
    four = torch.tensor([[4, 0, 1.5], [0, 4, 1.5], [0, 0, 1]], dtype=torch.float64)
    refined = refine_homography(small, large, four @ truth @ grow)
    assert refined.homography.isfinite().all()


def test_masks_keep_pixels_out() -> None:
    source, destination, truth = pair("refine masks", 4.0)
    spoiled = source.clone()
    spoiled[..., 40:] = texture("something else", 1, 3, *SIZE)[..., 40:]
    valid = torch.ones(1, 1, *SIZE, dtype=torch.bool)
    valid[..., 40:] = False
    refined = refine_homography(spoiled, destination, truth, valid, levels=1)
    assert refined.success
    assert refined.agreement > 0.8
    assert not refined.matches.points0[0, refined.matches.valid[0], 0].gt(40).any()


def test_other_features_can_be_compared() -> None:
    source, destination, truth = pair("refine features", 3.0)

    def colours(image: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        return (image - 0.5) / 0.2, valid

    refined = refine_homography(source, destination, torch.eye(3).double()[None], features=colours)
    assert error(refined, truth) < 0.05


def test_photos_of_other_sizes() -> None:
    source, destination, truth = pair("refine other sizes", 4.0)
    twice = F.interpolate(source, scale_factor=2, mode="bicubic").clamp(0, 1)
    shrink = torch.tensor([[0.5, 0, -0.25], [0, 0.5, -0.25], [0, 0, 1]], dtype=torch.float64)
    refined = refine_homography(twice, destination, (moved_corners("b", 2.0) @ truth @ shrink))
    off = corner_error(refined.homography, truth @ shrink, size=(2 * SIZE[0], 2 * SIZE[1]))
    assert off < 0.1
