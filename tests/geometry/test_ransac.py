"""ransac_homography: as accurate as OpenCV, and honest where every peer claims success."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from diar_ops import (
    DtypeError,
    HomographyEstimate,
    OptionError,
    RansacHomography,
    Reason,
    ShapeError,
    corner_error,
    homography_dlt,
    ransac_homography,
    transform_points,
)
from tests.harness import Call, OpTests, assert_close, generator

F64 = torch.float64
SIZE = 512


def project(homography: Tensor, points: Tensor) -> Tensor:
    mapped = points.to(F64) @ homography[..., :2].to(F64).mT + homography[:, None, :, 2].to(F64)
    return mapped[..., :2] / mapped[..., 2:]


def pairs(
    name: str, batch: int, number: int, outliers: float, noise: float = 0.5
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return points_src, points_dst, the true homography, and which pairs are true."""
    gen = generator(name)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=gen, dtype=F64)

    corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], dtype=F64)
    corners = (corners * (SIZE - 1)).expand(batch, 4, 2)
    truth = homography_dlt(corners, corners + (uniform(batch, 4, 2) - 0.5) * 160)
    src = uniform(batch, number, 2) * (SIZE - 1)
    dst = project(truth, src) + noise * torch.randn(batch, number, 2, generator=gen, dtype=F64)
    wrong = uniform(batch, number).argsort(-1) < round(outliers * number)
    dst = torch.where(wrong[..., None], uniform(batch, number, 2) * (SIZE - 1), dst)
    return src, dst, truth, ~wrong


def line(number: int = 30, batch: int = 1) -> Tensor:
    x = torch.linspace(10, 500, number)
    return torch.stack([x, 0.3 * x + 20], -1).expand(batch, -1, -1)


def assert_failed(estimate: HomographyEstimate, reason: Reason) -> None:
    assert estimate.reason.tolist() == [reason] * len(estimate.reason)
    assert not estimate.success.any()
    assert not estimate.inliers.any()
    assert (estimate.homography == torch.eye(3)).all()


class TestRansacHomography(OpTests):
    op = "ransac_homography"
    module = "RansacHomography"
    exempt = {
        "compile": "the search stops when the data say so, which no single graph can express; "
        "test_compiles_with_graph_breaks answers instead"
    }

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        src, dst, _, valid = pairs("ransac call", 3, 60, 0.3)
        valid[:, 50:] = False
        options = {"threshold": 3.0, "confidence": 0.99, "max_iterations": 2000}
        data = (src.to(device, dtype), dst.to(device, dtype), valid.to(device))
        return Call(data, options | {"differentiable": False})

    def gradcheck_call(self, device: torch.device) -> tuple[Callable[..., Any], tuple[Tensor, ...]]:
        src, dst, _, _ = pairs("ransac gradcheck", 1, 11, 0.2, noise=0.3)
        weights = torch.rand(1, 11, generator=generator("weights"), dtype=F64) + 0.5

        def refit(src: Tensor, dst: Tensor, weights: Tensor) -> Tensor:
            options = {"max_iterations": 100, "weights": weights, "differentiable": True}
            return ransac_homography(src, dst, **options).homography

        return refit, tuple(x.to(device).requires_grad_() for x in (src, dst, weights))

    def test_exception(self) -> None:
        points = torch.zeros(2, 5, 2)
        with pytest.raises(ShapeError, match="N = 5 as in points_src"):
            ransac_homography(points, torch.zeros(2, 4, 2))
        with pytest.raises(ShapeError, match="score must have shape"):
            ransac_homography(points, points, score=torch.zeros(2, 4))
        with pytest.raises(DtypeError, match="valid must be bool"):
            ransac_homography(points, points, torch.ones(2, 5))
        with pytest.raises(DtypeError, match="floating point"):
            ransac_homography(points, points.int())
        for options, message in (
            ({"threshold": 0.0}, "a positive threshold"),
            ({"threshold": float("nan")}, "a positive threshold"),
            ({"confidence": 1.0}, r"a confidence in \(0, 1\)"),
            ({"max_iterations": 0}, "at least 1"),
        ):
            with pytest.raises(OptionError, match=message):
                ransac_homography(points, points, **options)
            with pytest.raises(OptionError, match=message):
                RansacHomography(**options)

    @pytest.mark.parametrize("batch", [0, 1, 3])
    @pytest.mark.parametrize("number", [0, 1, 3, 4, 5, 8])
    def test_cardinality(
        self, batch: int, number: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        angle = torch.arange(float(number)).expand(batch, number)
        points = 250 + 200 * torch.stack([angle.cos(), angle.sin()], -1)
        result = ransac_homography(points.to(device, dtype), points.to(device, dtype))
        expected = Reason.TOO_FEW if number < 4 else Reason.CHANCE_LEVEL
        expected = Reason.OK if number > 4 else expected
        assert result.reason.tolist() == [expected] * batch
        assert result.homography.shape == (batch, 3, 3)
        assert result.inliers.shape == (batch, number)
        assert result.inliers.all() == (expected == Reason.OK or batch * number == 0)
        assert result.success.dtype == torch.bool
        assert result.iterations.dtype == torch.int64
        assert_close(result.homography, torch.eye(3).expand(batch, 3, 3), atol=1e-3)

    @pytest.mark.parametrize(
        ("number", "outliers"), [(500, 0.5), (500, 0.8), (2000, 0.7), (2000, 0.9)]
    )
    def test_oracle_opencv(self, number: int, outliers: float) -> None:
        """No less accurate than USAC_MAGSAC, and no less often right."""
        import cv2

        src, dst, truth, true = pairs("opencv", 48 if number == 500 else 16, number, outliers)
        ours = ransac_homography(src.float(), dst.float())
        assert ours.success.all()
        size = (SIZE, SIZE)
        error = corner_error(ours.homography.to(F64), truth, size=size)
        peer = np.stack(
            [
                cv2.findHomography(a, b, cv2.USAC_MAGSAC, 2.0, maxIters=100_000, confidence=0.999)[
                    0
                ]
                for a, b in zip(src.numpy(), dst.numpy(), strict=True)
            ]
        )
        peer_error = corner_error(torch.from_numpy(peer), truth, size=size)
        assert error.median() <= 1.1 * peer_error.median()
        assert (error < 3).sum() >= (peer_error < 3).sum()
        # Noise of 0.5 px leaves 99.97 % of the true pairs within 2 px.
        assert (ours.inliers & true).sum() >= 0.98 * true.sum()
        assert (ours.inliers & ~true).sum() <= 0.01 * ours.inliers.sum()

    def test_oracle_without_outliers_is_least_squares(self) -> None:
        """On clean exact pairs nothing is left of robustness: the truth comes back."""
        src, dst, truth, _ = pairs("exact", 4, 100, 0.3, noise=0.0)
        result = ransac_homography(src, dst)
        assert_close(result.homography, truth, rtol=1e-8, atol=1e-8)
        assert_close(torch.linalg.det(result.homography), torch.ones(4, dtype=F64))

    @settings(max_examples=5)
    @given(angle=st.floats(-3.1, 3.1), scale=st.floats(0.1, 10.0), shift=st.floats(-1e3, 1e3))
    def test_property_similarity_equivariance(
        self, angle: float, scale: float, shift: float
    ) -> None:
        src, dst, _, _ = pairs("equivariance", 1, 60, 0.2)
        c, s = scale * np.cos(angle), scale * np.sin(angle)
        move = torch.tensor([[[c, -s, shift], [s, c, -shift], [0.0, 0.0, 1.0]]], dtype=F64)
        plain = ransac_homography(src, dst)
        moved_dst = ransac_homography(src, project(move, dst), threshold=2.0 * scale)
        moved_src = ransac_homography(project(move, src), dst)
        assert torch.equal(moved_dst.inliers, plain.inliers)
        assert torch.equal(moved_src.inliers, plain.inliers)
        ours, want = project(moved_dst.homography, src), project(move @ plain.homography, src)
        assert ((ours - want).norm(dim=-1) < 1e-3 * scale)[plain.inliers].all()
        ours, want = project(moved_src.homography @ move, src), project(plain.homography, src)
        assert ((ours - want).norm(dim=-1) < 1e-3)[plain.inliers].all()

    def test_property_items_are_independent(self) -> None:
        """A hard item searches for long, an easy one stops at once; neither moves the other."""
        src, dst, _, _ = pairs("independent", 4, 120, 0.3)
        dst[2] = torch.rand(120, 2, generator=generator("noise"), dtype=F64) * SIZE
        together = ransac_homography(src, dst)
        assert together.reason.tolist() == [0, 0, Reason.CHANCE_LEVEL, 0]
        for i in range(4):
            alone = ransac_homography(src[i : i + 1], dst[i : i + 1])
            assert torch.equal(alone.inliers[0], together.inliers[i])
            assert alone.iterations[0] == together.iterations[i]
            assert_close(alone.homography[0], together.homography[i], rtol=1e-7, atol=1e-7)
        dst[1] += 0.3 * torch.randn(120, 2, generator=generator("perturb"), dtype=F64)
        after = ransac_homography(src, dst)
        assert not torch.equal(after.homography[1], together.homography[1])
        for i in (0, 2, 3):
            assert torch.equal(after.homography[i], together.homography[i])

    def test_property_padding_changes_nothing(self) -> None:
        src, dst, _, _ = pairs("padding", 3, 90, 0.4)
        plain = ransac_homography(src, dst)
        place = torch.randperm(140, generator=generator("place"))[:90].sort().values
        padded_src = torch.full((3, 140, 2), 7.0, dtype=F64).index_copy(1, place, src)
        padded_dst = torch.full((3, 140, 2), torch.nan, dtype=F64).index_copy(1, place, dst)
        valid = torch.zeros(3, 140, dtype=torch.bool).index_fill(1, place, True)
        for result in (
            ransac_homography(padded_src, padded_dst, valid),
            ransac_homography(padded_src, padded_dst),
            ransac_homography(padded_src, padded_dst.nan_to_num(3.0), valid),
        ):
            assert torch.equal(result.homography, plain.homography)
            assert torch.equal(result.inliers[:, place], plain.inliers)
            assert result.inliers.sum() == plain.inliers.sum()

    @pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
    def test_nan_rows_are_ignored(self, bad: float) -> None:
        src, dst, truth, _ = pairs("nan", 2, 80, 0.3)
        src[0, 3, 0] = bad
        dst[0, 7, 1] = bad
        for differentiable in (False, True):
            inputs = [src.clone().requires_grad_(), dst.clone().requires_grad_()]
            result = ransac_homography(*inputs, differentiable=differentiable)
            assert result.success.all()
            assert not result.inliers[0, [3, 7]].any()
            assert corner_error(result.homography.detach(), truth, size=(SIZE, SIZE)).max() < 1.5
            if differentiable:
                result.homography.sum().backward()
                for x in inputs:
                    assert x.grad is not None
                    assert x.grad.isfinite().all()

    def test_gradients_of_failed_items_are_zero(self) -> None:
        src, dst, _, _ = pairs("failed gradient", 3, 40, 0.2)
        dst[1] = torch.nan
        src[2] = 5.0
        src.requires_grad_()
        result = ransac_homography(src, dst, max_iterations=500, differentiable=True)
        assert result.success.tolist() == [True, False, False]
        result.homography[:, 0].sum().backward()
        assert src.grad is not None
        assert src.grad.isfinite().all()
        assert (src.grad[0] != 0).any()
        assert (src.grad[1:] == 0).all()
        assert not ransac_homography(src, dst, max_iterations=500).homography.requires_grad

    def test_differentiable_changes_no_value(self) -> None:
        src, dst, _, _ = pairs("same value", 3, 100, 0.4)
        plain = ransac_homography(src, dst)
        tracked = ransac_homography(src, dst, differentiable=True)
        assert_close(tracked.homography, plain.homography, rtol=1e-6, atol=1e-6)
        assert torch.equal(tracked.inliers, plain.inliers)

    def test_weights_of_the_refit(self) -> None:
        """Two noisy copies of a scene: the refit follows the one that weighs."""
        src, dst, _, _ = pairs("weights", 1, 100, 0.0, noise=0.0)
        twice_src, twice_dst = torch.cat([src, src], 1), torch.cat([dst, dst + 1.0], 1)
        weights = torch.ones(1, 200, dtype=F64)
        weights[:, 100:] = 1e-9
        result = ransac_homography(twice_src, twice_dst, weights=weights, threshold=3.0)
        assert (project(result.homography, src) - dst).abs().max() < 1e-5
        result = ransac_homography(twice_src, twice_dst, weights=1 - weights, threshold=3.0)
        assert (project(result.homography, src) - dst - 1).abs().max() < 1e-5

    def test_deterministic_and_leaves_the_global_state_alone(self) -> None:
        src, dst, _, _ = pairs("deterministic", 2, 100, 0.5)
        before = torch.get_rng_state()
        first, second = ransac_homography(src, dst), ransac_homography(src, dst)
        assert torch.equal(before, torch.get_rng_state())
        assert torch.equal(first.homography, second.homography)
        seeded = [ransac_homography(src, dst, generator=generator("seed")) for _ in range(2)]
        assert torch.equal(seeded[0].homography, seeded[1].homography)
        used = generator("seed")
        state = used.get_state()
        ransac_homography(src, dst, generator=used)
        assert not torch.equal(state, used.get_state())

    def test_scores_find_rare_inliers_early(self) -> None:
        """Three true pairs in a hundred, but with good scores: hopeless without them."""
        src, dst, truth, true = pairs("scores", 4, 1000, 0.97)
        rank = torch.rand(4, 1000, generator=generator("scores"), dtype=F64)
        score = rank + true.to(F64) * 0.9
        score[:, 0] = torch.nan
        result = ransac_homography(src, dst, score=score, max_iterations=4096)
        assert result.success.all()
        assert (corner_error(result.homography, truth, size=(SIZE, SIZE)) < 3).all()
        assert not ransac_homography(src, dst, max_iterations=4096).success.any()

    def test_misleading_scores_cost_only_time(self) -> None:
        src, dst, truth, true = pairs("misleading", 4, 300, 0.5)
        result = ransac_homography(src, dst, score=-true.to(F64))
        assert (corner_error(result.homography, truth, size=(SIZE, SIZE)) < 3).all()

    def test_stops_early(self) -> None:
        easy = ransac_homography(*pairs("easy", 2, 200, 0.2)[:2])
        hard = ransac_homography(*pairs("hard", 2, 200, 0.8)[:2])
        assert (easy.iterations < 300).all()
        assert (hard.iterations > 1000).all()
        capped = ransac_homography(*pairs("hard", 2, 200, 0.8)[:2], max_iterations=77)
        assert (capped.iterations == 77).all()

    def test_random_pairs_are_chance_level(self) -> None:
        """Every peer returns a homography here, with 5 inliers or more."""
        gen = generator("random pairs")
        src, dst = (torch.rand(200, 200, 2, generator=gen) * SIZE for _ in range(2))
        result = ransac_homography(src, dst, max_iterations=4096, generator=gen)
        assert_failed(result, Reason.CHANCE_LEVEL)
        assert_failed(ransac_homography(src[:8], dst[:8]), Reason.CHANCE_LEVEL)

    def test_clustered_random_pairs_are_chance_level(self) -> None:
        """Points in ten clumps, as keypoints are, meet by accident more often."""
        gen = generator("clumps")
        centres = torch.rand(40, 10, 2, generator=gen) * SIZE
        src, dst = (
            centres[:, torch.randint(10, (200,), generator=gen)]
            + 8 * torch.randn(40, 200, 2, generator=gen)
            for _ in range(2)
        )
        assert_failed(ransac_homography(src, dst, max_iterations=4096), Reason.CHANCE_LEVEL)

    def test_few_true_pairs_are_more_than_chance(self) -> None:
        """15 of 200: significant, though as few as some peers find among random pairs."""
        src, dst, truth, _ = pairs("few", 2, 200, 0.925)
        result = ransac_homography(src, dst, max_iterations=400_000)
        assert result.success.all()
        assert (corner_error(result.homography, truth, size=(SIZE, SIZE)) < 3).all()

    @pytest.mark.parametrize("noise", [0.0, 0.5])
    @pytest.mark.parametrize("strays", [0, 1, 2])
    @pytest.mark.parametrize("true_strays", [True, False])
    def test_collinear_pairs(self, noise: float, strays: int, true_strays: bool) -> None:
        gen = generator("collinear")
        extra = torch.rand(20, strays, 2, generator=gen) * SIZE
        src = torch.cat([line(30, 20), extra], 1)
        dst = torch.cat([line(30, 20), extra if true_strays else extra.roll(1, 0)], 1)
        dst = dst + 5 + noise * torch.randn(dst.shape, generator=gen)
        assert_failed(ransac_homography(src, dst, max_iterations=4096), Reason.COLLINEAR)

    def test_collinear_pairs_among_random_ones(self) -> None:
        gen = generator("collinear and random")
        src, dst = (
            torch.cat([line(30, 20), torch.rand(20, 100, 2, generator=gen) * SIZE], 1)
            for _ in range(2)
        )
        assert_failed(ransac_homography(src, dst, max_iterations=4096), Reason.COLLINEAR)

    def test_enough_pairs_beside_a_line_are_believed(self) -> None:
        extra = torch.rand(20, 6, 2, generator=generator("beside")) * SIZE
        points = torch.cat([line(30, 20), extra], 1)
        result = ransac_homography(points, points + 5)
        assert result.success.all()
        assert result.inliers.all()

    def test_coincident_pairs(self) -> None:
        point = torch.full((2, 30, 2), 7.0)
        spread = torch.rand(2, 30, 2, generator=generator("spread")) * SIZE
        for src, dst in ((point, point + 2), (spread, point), (point, spread)):
            assert_failed(ransac_homography(src, dst, max_iterations=1024), Reason.COLLINEAR)

    def test_too_few_and_not_finite(self) -> None:
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

    def test_mirrored_pairs_are_not_believed(self) -> None:
        points = torch.rand(4, 100, 2, generator=generator("mirror")) * SIZE
        mirrored = points * torch.tensor([-1.0, 1.0])
        result = ransac_homography(points, mirrored, max_iterations=2048)
        assert_failed(result, Reason.CHANCE_LEVEL)

    def test_pairs_behind_the_camera_are_no_inliers(self) -> None:
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

    @pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
    def test_half_precision(self, half: torch.dtype) -> None:
        src, dst, _, _ = pairs("half", 2, 100, 0.3)
        result = ransac_homography(src.to(half), dst.to(half), threshold=6.0)
        assert result.homography.dtype == half
        assert result.success.all()
        reference = ransac_homography(src.to(half).to(F64), dst.to(half).to(F64), threshold=6.0)
        assert_close(result.homography, reference.homography.to(half))

    def test_compiles_with_graph_breaks(self, compile_backend: str) -> None:
        torch.compiler.reset()
        args, kwargs = self.call(torch.device("cpu"), torch.float32)
        compiled = torch.compile(
            lambda *a: ransac_homography(*a, **kwargs), fullgraph=False, backend=compile_backend
        )
        actual, expected = compiled(*args), ransac_homography(*args, **kwargs)
        assert_close(actual.homography, expected.homography)
        assert torch.equal(actual.inliers, expected.inliers)


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
        beside = ransac_homography(
            torch.cat([src, other[:1]]), torch.cat([dst, other[1:]]), max_iterations=20_000
        )
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
