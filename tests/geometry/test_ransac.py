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

from diar_ops import DtypeError, OptionError, RansacHomography, Reason, ShapeError, corner_error, ransac_homography
from tests.geometry.ransac_scene import F64, SIZE, pairs, project
from tests.harness import Call, OpTests, assert_close, generator


class TestRansacHomography(OpTests):
    op = "ransac_homography"
    module = "RansacHomography"
    free = ((0, 1),) * 3

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
    def test_cardinality(self, batch: int, number: int, device: torch.device, dtype: torch.dtype) -> None:
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

    @pytest.mark.parametrize(("number", "outliers"), [(500, 0.5), (500, 0.8), (2000, 0.7), (2000, 0.9)])
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
                cv2.findHomography(a, b, cv2.USAC_MAGSAC, 2.0, maxIters=100_000, confidence=0.999)[0]
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
    def test_property_similarity_equivariance(self, angle: float, scale: float, shift: float) -> None:
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

    @pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
    def test_half_precision(self, half: torch.dtype) -> None:
        src, dst, _, _ = pairs("half", 2, 100, 0.3)
        result = ransac_homography(src.to(half), dst.to(half), threshold=6.0)
        assert result.homography.dtype == half
        assert result.success.all()
        reference = ransac_homography(src.to(half).to(F64), dst.to(half).to(F64), threshold=6.0)
        assert_close(result.homography, reference.homography.to(half))

    def test_compiles_around_a_generator(self, compile_backend: str) -> None:
        """A graph holds no generator: it breaks around the call."""
        torch.compiler.reset()
        args, kwargs = self.call(torch.device("cpu"), torch.float32)
        rng = generator("compiled")

        def estimate(*points: Tensor) -> Any:
            return ransac_homography(*points, generator=rng, **kwargs)

        expected = estimate(*args)
        rng.set_state(generator("compiled").get_state())
        actual = torch.compile(estimate, backend=compile_backend)(*args)
        assert_close(actual.homography, expected.homography)
        assert torch.equal(actual.inliers, expected.inliers)

    def test_vmap_equals_the_batch_and_leaves_the_randomness_alone(self) -> None:
        src, dst, _, valid = pairs("vmap", 6, 60, 0.3)
        batch = ransac_homography(src, dst, valid, generator=generator("mapped"))
        rng = generator("mapped")
        mapped = torch.vmap(lambda *points: ransac_homography(*points, generator=rng), randomness="error")(
            *(x.view(3, 2, *x.shape[1:]) for x in (src, dst, valid))
        )
        for actual, expected in zip(mapped, batch, strict=True):
            assert torch.equal(actual.flatten(0, 1), expected)

    @pytest.mark.parametrize("far", [3e4, 1e7, 1e30, 1e200])
    @pytest.mark.parametrize("side", [0, 1])
    def test_a_far_outlier_spoils_nothing(self, far: float, side: int) -> None:
        both = list(pairs("far", 1, 60, 0.0)[:2])
        plain = ransac_homography(*both)
        both[side] = both[side].clone()
        both[side][:, 0] = far
        found = ransac_homography(*(x.requires_grad_() for x in both), differentiable=True)
        assert found.success
        assert found.inliers.sum() == plain.inliers.sum() - plain.inliers[0, 0].long()
        for slope in torch.autograd.grad(found.homography.sum(), both):
            assert slope.isfinite().all()
