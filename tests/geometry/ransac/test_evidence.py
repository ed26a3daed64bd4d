"""Support that chance, a line or a mirror explains is no success."""

from __future__ import annotations

import pytest
import torch

from diar_ops import Reason, corner_error, ransac_homography, transform_points
from tests.geometry.ransac_scene import F64, SIZE, assert_failed, line, pairs, project
from tests.harness import generator


def test_random_pairs_are_chance_level() -> None:
    """Every peer returns a homography here, with 5 inliers or more."""
    gen = generator("random pairs")
    src, dst = (torch.rand(200, 200, 2, generator=gen) * SIZE for _ in range(2))
    result = ransac_homography(src, dst, max_iterations=4096, generator=gen)
    assert_failed(result, Reason.CHANCE_LEVEL)
    assert_failed(ransac_homography(src[:8], dst[:8]), Reason.CHANCE_LEVEL)


def test_clustered_random_pairs_are_chance_level() -> None:
    """Points in ten clumps, as keypoints are, meet by accident more often."""
    gen = generator("clumps")
    centres = torch.rand(40, 10, 2, generator=gen) * SIZE
    src, dst = (
        centres[:, torch.randint(10, (200,), generator=gen)] + 8 * torch.randn(40, 200, 2, generator=gen)
        for _ in range(2)
    )
    assert_failed(ransac_homography(src, dst, max_iterations=4096), Reason.CHANCE_LEVEL)


def test_few_true_pairs_are_more_than_chance() -> None:
    """15 of 200: significant, though as few as some peers find among random pairs."""
    src, dst, truth, _ = pairs("few", 2, 200, 0.925)
    result = ransac_homography(src, dst, max_iterations=400_000)
    assert result.success.all()
    assert (corner_error(result.homography, truth, size=(SIZE, SIZE)) < 3).all()


@pytest.mark.parametrize("noise", [0.0, 0.5])
@pytest.mark.parametrize("strays", [0, 1, 2])
@pytest.mark.parametrize("true_strays", [True, False])
def test_collinear_pairs(noise: float, strays: int, true_strays: bool) -> None:
    gen = generator("collinear")
    extra = torch.rand(20, strays, 2, generator=gen) * SIZE
    src = torch.cat([line(30, 20), extra], 1)
    dst = torch.cat([line(30, 20), extra if true_strays else extra.roll(1, 0)], 1)
    dst = dst + 5 + noise * torch.randn(dst.shape, generator=gen)
    assert_failed(ransac_homography(src, dst, max_iterations=4096), Reason.COLLINEAR)


def test_collinear_pairs_among_random_ones() -> None:
    gen = generator("collinear and random")
    src, dst = (torch.cat([line(30, 20), torch.rand(20, 100, 2, generator=gen) * SIZE], 1) for _ in range(2))
    assert_failed(ransac_homography(src, dst, max_iterations=4096), Reason.COLLINEAR)


def test_enough_pairs_beside_a_line_are_believed() -> None:
    extra = torch.rand(20, 6, 2, generator=generator("beside")) * SIZE
    points = torch.cat([line(30, 20), extra], 1)
    result = ransac_homography(points, points + 5)
    assert result.success.all()
    assert result.inliers.all()


def test_coincident_pairs() -> None:
    point = torch.full((2, 30, 2), 7.0)
    spread = torch.rand(2, 30, 2, generator=generator("spread")) * SIZE
    for src, dst in ((point, point + 2), (spread, point), (point, spread)):
        assert_failed(ransac_homography(src, dst, max_iterations=1024), Reason.COLLINEAR)


def test_too_few_and_not_finite() -> None:
    points = torch.rand(1, 20, 2, generator=generator("few")) * SIZE
    valid = torch.zeros(1, 20, dtype=torch.bool)
    assert_failed(ransac_homography(points, points, valid), Reason.TOO_FEW)
    valid[:, 5:8] = True
    assert_failed(ransac_homography(points, points, valid), Reason.TOO_FEW)
    spoiled = points.clone()
    spoiled[:, :17] = torch.nan
    assert_failed(ransac_homography(points, spoiled), Reason.TOO_FEW)
    spoiled[:] = torch.nan
    assert_failed(ransac_homography(points, spoiled), Reason.NOT_FINITE)
    assert_failed(ransac_homography(spoiled, points, valid), Reason.NOT_FINITE)


def test_mirrored_pairs_are_not_believed() -> None:
    points = torch.rand(4, 100, 2, generator=generator("mirror")) * SIZE
    mirrored = points * torch.tensor([-1.0, 1.0])
    result = ransac_homography(points, mirrored, max_iterations=2048)
    assert_failed(result, Reason.CHANCE_LEVEL)


def test_pairs_behind_the_camera_are_no_inliers() -> None:
    """The algebra agrees with them, but no photo shows what lies beyond the horizon."""
    src, _, _, _ = pairs("horizon", 1, 200, 0.0)
    src[..., 0] = torch.where(src[..., 0] < 350, src[..., 0] * 250 / 350, src[..., 0] + 80)
    h = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [-3e-3, 0.0, 1.0]]], dtype=F64)
    behind = src[..., 0] > 1 / 3e-3
    assert 20 < behind.sum() < 100
    result = ransac_homography(src, project(h, src))
    assert result.success.all()
    assert not (result.inliers & behind).any()
    assert (result.inliers | behind).all()


def test_the_verdict_does_not_depend_on_other_items() -> None:
    """Borderline items, alone and beside random pairs that make the search draw much longer."""
    random = generator("ransac-borderline")
    H = torch.tensor([[[1.05, 0.02, 5], [-0.03, 0.97, 8], [1e-5, 2e-5, 1]]])
    for _ in range(12):
        x = torch.rand(1, 24, 1, generator=random) * 512
        y = 0.5 * x + 30 + 2.6 * torch.randn(1, 24, 1, generator=random)
        src = torch.cat([x, y], -1)
        dst = transform_points(src, H).points + 0.3 * torch.randn(1, 24, 2, generator=random)
        other = torch.rand(2, 24, 2, generator=random) * 512
        alone = ransac_homography(src, dst, max_iterations=20_000)
        beside = ransac_homography(torch.cat([src, other[:1]]), torch.cat([dst, other[1:]]), max_iterations=20_000)
        assert alone.reason[0] == beside.reason[0]
        assert torch.equal(alone.homography[0], beside.homography[0])


@pytest.mark.parametrize(("distinct", "copies"), [(66, 3), (40, 5), (4, 50)])
def test_repeated_correspondences_are_one_piece_of_evidence(distinct: int, copies: int) -> None:
    random = generator("ransac-repeated")
    src, dst = (torch.rand(2, 8, distinct, 2, generator=random) * 512).repeat(1, 1, copies, 1)
    estimate = ransac_homography(src, dst, max_iterations=8192)
    assert not estimate.success.any()


def test_independence_asks_for_support_that_is_spread_out() -> None:
    """Sixty matches within one highlight against sixty all over the picture."""
    random = generator("ransac-highlight")
    noise = torch.rand(2, 1, 300, 2, generator=random) * 512
    for extent, trusted in ((40.0, False), (400.0, True)):
        good = 50 + extent * torch.rand(1, 60, 2, generator=random)
        src, dst = torch.cat([noise[0], good], 1), torch.cat([noise[1], good + 9], 1)
        assert ransac_homography(src, dst, independence=64.0).success[0] == trusted
