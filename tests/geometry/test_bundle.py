"""bundle_adjust_homographies against SciPy, known scenes, and its own predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from diar_ops import BundleAdjustHomographies, DtypeError, OptionError, ShapeError, bundle_adjust_homographies
from tests.geometry.bundle_scene import F64, Scene, adjust, chain, corners_in_reference, error, scene, with_points1
from tests.harness import Call, OpTests, assert_close, generator

NAN, INF = float("nan"), float("inf")
EYE = torch.eye(3, dtype=F64)


class TestBundleAdjustHomographies(OpTests):
    op = "bundle_adjust_homographies"
    infinite = "the accuracy of a frame without matches is inf"
    module = "BundleAdjustHomographies"
    free = ((0,), (0, 2), (0, 2), (0,), (0,), (0, 2), (0, 2))

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        s = scene("call", batch=2, count=3, number=40, off=0.3)
        args = tuple(x.to(device, dtype) if x.is_floating_point() else x.to(device) for x in s.args)
        valid = torch.rand(2, 3, 40, generator=generator("call")) < 0.9
        weights = torch.rand(2, 3, 40, generator=generator("weights")) + 0.1
        options = {"distortion": "shared", "scale": 0.3, "correlated": False, "max_iterations": 1}
        return Call((*args, valid.to(device), weights.to(device, dtype)), options)

    def gradcheck_call(self, device: torch.device, distortion: str = "none") -> Any:
        s = scene("gradcheck", count=3, number=30, off=0.3, outliers=0.1)
        parts = torch.randn(2, 3, *s.points0.shape, generator=generator("parts"), dtype=F64)

        def adjusted(shares: Tensor) -> tuple[Tensor, Tensor]:
            """The search ends within 1e-5 px: a difference must be far larger, 2e-3 px."""
            moves = 1e3 * (shares[..., None, None, None, None] * parts.to(device)).sum(1)
            points = (p.to(device) + move for p, move in zip((s.points0, s.points1), moves, strict=True))
            others = (x.to(device) for x in s.args[3:])
            result = bundle_adjust_homographies(s.frames.to(device), *points, *others, scale=0.5, distortion=distortion)
            assert result.success.all()
            k = result.distortion if distortion == "shared" else 0.0
            return corners_in_reference(result.homography[:, 1:], k), 1e3 * result.distortion

        return adjusted, (torch.zeros(2, 3, dtype=F64, device=device, requires_grad=True),)

    def test_gradcheck_lens(self, device: torch.device) -> None:
        adjusted, inputs = self.gradcheck_call(device, "shared")
        # With a lens the search ends a little farther from the minimum: 3e-5 of the largest slope.
        assert torch.autograd.gradcheck(adjusted, inputs, atol=0.2)

    def test_gradient_of_weights_and_of_what_failed(self) -> None:
        s = scene("gradient", count=4, pairs=chain(3), number=40, off=0.3)
        weights = torch.ones(1, 2, 40, dtype=F64, requires_grad=True)
        initial = s.initial.clone().requires_grad_()
        args = (s.frames, s.points0, s.points1, initial, s.sizes)

        def corner(weights: Tensor) -> Tensor:
            return bundle_adjust_homographies(*args, None, weights, scale=0.5).homography[0, 2, 0, 2]

        (slope,) = torch.autograd.grad(corner(weights), weights)
        step = 0.5 * torch.eye(80, dtype=F64)[3].view(1, 2, 40)
        with torch.no_grad():
            difference = corner(weights + step) - corner(weights - step)
        assert_close(slope[0, 0, 3], difference, rtol=0.02, atol=1e-6)
        adjusted = bundle_adjust_homographies(*args, scale=0.5)
        assert adjusted.success[0].tolist() == [True, True, True, False]
        (slope,) = torch.autograd.grad(adjusted.homography.sum(), initial)
        assert torch.equal(slope[0, 3], torch.ones(3, 3, dtype=F64))
        assert torch.equal(slope[0, :3], torch.zeros(3, 3, 3, dtype=F64))
        assert torch.equal(adjusted.homography, adjust(s, scale=0.5).homography)

    @pytest.mark.parametrize("far", [1e5, 1e30, 1e200])
    def test_a_far_match_spoils_nothing(self, far: float) -> None:
        s = scene("far", count=3, number=60)
        points1 = s.points1.clone()
        points1[:, 0, 0] = far
        adjusted = adjust(with_points1(s, points1))
        assert adjusted.success.all()
        assert error(adjusted.homography, s.truth).max() < 0.5
        assert not adjusted.inliers[0, 0, 0]

    def test_exception(self) -> None:
        frames, points0, points1, initial, sizes, _ = scene("errors", batch=2, count=3, number=5)
        with pytest.raises(ShapeError, match="with N = 5 as in points0"):
            bundle_adjust_homographies(frames, points0, points1[:, :, :4], initial, sizes)
        with pytest.raises(ShapeError, match=r"leading sizes \[2\] of homography_reference_frame"):
            bundle_adjust_homographies(frames[0], points0, points1, initial, sizes)
        with pytest.raises(ShapeError, match="with T = 3"):
            bundle_adjust_homographies(frames, points0, points1, initial, sizes[:, :2])
        with pytest.raises(ShapeError, match="at least one frame"):
            bundle_adjust_homographies(frames, points0, points1, initial[:, :0], sizes[:, :0])
        with pytest.raises(DtypeError, match="frames must be int64"):
            bundle_adjust_homographies(frames.int(), points0, points1, initial, sizes)
        with pytest.raises(DtypeError, match="floating point"):
            bundle_adjust_homographies(frames, points0.long(), points1, initial, sizes)
        with pytest.raises(DtypeError, match="valid must be bool"):
            bundle_adjust_homographies(frames, points0, points1, initial, sizes, torch.ones(2, 3, 5))
        args = (frames, points0, points1, initial, sizes)
        for reference in (3, -1, 1.0, "auto"):
            with pytest.raises(OptionError, match="a frame from 0 to 2"):
                bundle_adjust_homographies(*args, reference=reference)  # type: ignore[arg-type]
        with pytest.raises(ShapeError, match=r"an int or int64 of shape \[2\]"):
            bundle_adjust_homographies(*args, reference=torch.tensor(0))
        for options, message in (
            ({"distortion": "each"}, "distortion to be one of none, shared"),
            ({"scale": 0.0}, "a positive scale"),
            ({"max_iterations": -1}, "at least 0"),
        ):
            with pytest.raises(OptionError, match=message):
                bundle_adjust_homographies(*args, **options)  # type: ignore[arg-type]
            with pytest.raises(OptionError, match=message):
                BundleAdjustHomographies(**options)  # type: ignore[arg-type]

    @pytest.mark.parametrize("leading", [(), (0,), (1,), (2, 1), (0, 3)])
    @pytest.mark.parametrize(("count", "pairs", "number"), [(1, 0, 5), (3, 0, 5), (3, 2, 0), (3, 2, 12), (2, 1, 3)])
    @pytest.mark.parametrize("distortion", ["none", "shared"])
    def test_cardinality(self, leading: tuple[int, ...], count: int, pairs: int, number: int, distortion: str) -> None:
        s = scene("sizes", count=count, pairs=chain(3)[:pairs], number=number).item(0)
        args = [x.expand(*leading, *x.shape) for x in s.args]
        adjusted = bundle_adjust_homographies(*args, distortion=distortion)
        assert adjusted.homography.shape == (*leading, count, 3, 3)
        assert adjusted.covariance.shape == (*leading, count, 8, 8)
        assert adjusted.corner_sigma.shape == (*leading, count, 4)
        assert adjusted.inliers.shape == (*leading, pairs, number)
        for x in (adjusted.success, adjusted.residual_scale):
            assert x.shape == (*leading, count)
        for x in adjusted[7:]:
            assert x.shape == leading
        assert not any(x.isnan().any() for x in adjusted)
        # The reference is itself; the others are known if there are matches.
        expected = [True, *[number > 4] * pairs, *[False] * (count - 1 - pairs)]
        assert (adjusted.success == torch.tensor(expected)).all()
        assert (adjusted.homography[..., 0, :, :] == EYE).all()
        if number <= 4:
            assert torch.equal(adjusted.homography[..., 1:, :, :], args[3][..., 1:, :, :])
            assert adjusted.corner_sigma[..., 1:, :].isinf().all()

    def test_oracle_scipy_minimum(self) -> None:
        """Least squares of the same distances by SciPy, with its own numerical derivatives."""
        from scipy.optimize import least_squares

        s = scene("scipy", count=4, number=25).item(0)
        scale = 1e4  # nothing is out of reach: the biweight is a parabola
        adjusted = adjust(s, scale=scale)

        def distances(entries: np.ndarray) -> np.ndarray:
            h = np.concatenate((entries.reshape(-1, 8), np.ones((3, 1))), 1).reshape(-1, 3, 3)
            h = np.concatenate((np.eye(3)[None], h))
            rows = []
            for (i, j), a, b in zip(s.frames.numpy(), s.points0, s.points1, strict=True):
                laid, slopes = [], []
                for matrix, p in ((h[i], a.numpy()), (h[j], b.numpy())):
                    q = np.c_[p, np.ones(len(p))] @ matrix.T
                    w = q[:, 2:]
                    q = q[:, :2] / w
                    laid.append(q)
                    slopes.append((matrix[:2, :2] - q[:, :, None] * matrix[2, :2]) / w[:, None])
                covariance = sum(g @ g.transpose(0, 2, 1) for g in slopes)
                root = np.linalg.inv(np.linalg.cholesky(covariance))
                rows.append((root @ (laid[0] - laid[1])[..., None]).ravel())
            return np.concatenate(rows)

        start = s.initial[1:] / s.initial[1:, 2:, 2:]
        solution = least_squares(
            distances, start.flatten(1)[:, :8].numpy().ravel(), x_scale="jac", method="lm", xtol=1e-14, ftol=1e-14
        )
        h = torch.from_numpy(np.c_[solution.x.reshape(3, 8), np.ones(3)].reshape(3, 3, 3))
        assert error(adjusted.homography[1:], h).max() < 1e-5

    def test_oracle_maximum_likelihood(self) -> None:
        """The Sampson distance stands for one latent point per match: compare with just that."""
        from scipy.optimize import least_squares

        s = scene("latent", count=2, number=20, noise=1.0).item(0)
        adjusted = adjust(s, scale=1e4)
        a, b = s.points0[0].numpy(), s.points1[0].numpy()

        def residual(x: np.ndarray) -> np.ndarray:
            h = np.append(x[:8], 1).reshape(3, 3)
            latent = x[8:].reshape(-1, 2)  # in frame 1; frame 0 is the reference
            q = np.c_[latent, np.ones(len(latent))] @ h.T
            return np.concatenate((latent - b, q[:, :2] / q[:, 2:] - a)).ravel()

        start = np.concatenate(((s.truth[1] / s.truth[1, 2, 2]).numpy().ravel()[:8], b.ravel()))
        solution = least_squares(residual, start, x_scale="jac", method="lm", xtol=1e-14, ftol=1e-14)
        h = torch.from_numpy(np.append(solution.x[:8], 1).reshape(3, 3))
        assert error(adjusted.homography[1], s.truth[1]) > 0.1
        # Of a millimetre's error, a micrometre.
        assert error(adjusted.homography[1], h) < 2e-3

    def test_oracle_exact_matches(self) -> None:
        s = scene("exact", batch=2, count=5, noise=0, outliers=0.3, off=10)
        adjusted = adjust(s)
        assert error(adjusted.homography, s.truth).max() < 1e-6
        assert adjusted.success.all()
        assert_close(adjusted.inliers.double().mean(), 0.7, atol=0.05)

    def test_property_never_worse_than_the_start(self) -> None:
        for name, off in (("near", 2.0), ("far", 25.0), ("absurd", 90.0)):
            s = scene(f"descent {name}", batch=8, count=4, number=40, outliers=0.5, off=off)
            costs = [adjust(s, scale=0.5, max_iterations=n).cost for n in (0, 3, 10, 50)]
            for cost in costs[1:]:
                assert (cost <= costs[0]).all()
            assert (costs[-1] < costs[0]).any() or name == "absurd"
            assert adjust(s).homography.isfinite().all()

    def test_property_wide_starts_are_reached(self) -> None:
        s = scene("wide", batch=20, count=4, number=100, outliers=0.3, off=15.0)
        assert error(s.initial, s.truth).amax(1).median() > 10
        assert error(adjust(s).homography, s.truth).max() < 0.6

    @settings(max_examples=10)
    @given(st.integers(0, 10_000))
    def test_property_order_and_direction_of_pairs(self, seed: int) -> None:
        s = scene("order", count=4, number=40, outliers=0.2).item(0)
        rng = generator(f"order {seed}")
        order = torch.randperm(6, generator=rng)
        turned = torch.rand(6, generator=rng) < 0.5
        shuffled = torch.randperm(40, generator=rng)
        frames = torch.where(turned[:, None], s.frames.flip(1), s.frames)[order]
        points0 = torch.where(turned[:, None, None], s.points1, s.points0)[order][:, shuffled]
        points1 = torch.where(turned[:, None, None], s.points0, s.points1)[order][:, shuffled]
        first = adjust(s)
        second = bundle_adjust_homographies(frames, points0, points1, s.initial, s.sizes)
        assert error(first.homography, second.homography).max() < 1e-4
        assert_close(second.corner_sigma, first.corner_sigma, rtol=2e-3)
        assert torch.equal(second.inliers, first.inliers[order][:, shuffled])

    def test_property_duplicate_pairs_count_twice(self) -> None:
        s = scene("twice", count=3, number=60).item(0)
        double = Scene(*(torch.cat((x, x)) for x in s[:3]), *s[3:])
        once, twice = adjust(s, correlated=False), adjust(double, correlated=False)
        assert error(once.homography, twice.homography).max() < 1e-4
        half = (once.corner_sigma / twice.corner_sigma)[1:]
        assert_close(half, torch.full_like(half, 2**0.5), rtol=0.02, atol=0)

    def test_property_the_choice_of_the_reference_hardly_matters(self) -> None:
        s = scene("gauge", count=4, number=60).item(0)
        results = [adjust(s, reference=r).homography for r in range(4)]
        for r, result in enumerate(results):
            assert_close(result[r], EYE, rtol=0, atol=0)
            assert error(torch.linalg.inv(result[0]) @ result, results[0]).max() < 5e-3
        both = bundle_adjust_homographies(*(torch.stack((x, x)) for x in s.args), reference=torch.tensor([2, 1]))
        assert_close(both.homography, torch.stack((results[2], results[1])), rtol=1e-6)

    def test_property_pixel_units(self) -> None:
        """Twice the resolution: twice the pixels in every length."""
        s = scene("units", count=3, number=50).item(0)
        double = s._replace(
            points0=2 * s.points0,
            points1=2 * s.points1,
            sizes=2 * s.sizes,
            initial=(zoom := torch.diag(torch.tensor([2.0, 2, 1], dtype=F64))) @ s.initial @ torch.linalg.inv(zoom),
        )
        one, two = adjust(s), adjust(double)
        back = torch.linalg.inv(zoom) @ two.homography @ zoom
        assert error(back, one.homography).max() < 1e-5
        assert_close(two.residual_scale, 2 * one.residual_scale, rtol=1e-5)
        assert_close(two.corner_sigma[1:], 2 * one.corner_sigma[1:], rtol=0.02)

    def test_property_weights(self) -> None:
        s = scene("weights", count=3, number=50, outliers=0.2)
        weights = torch.rand(1, 3, 50, generator=generator("bundle weights"), dtype=F64)
        first = bundle_adjust_homographies(*s.args, None, weights)
        scaled = bundle_adjust_homographies(*s.args, None, 1e6 * weights)
        assert_close(scaled.homography, first.homography, rtol=1e-6)
        assert_close(scaled.corner_sigma, first.corner_sigma, rtol=1e-6)
        assert error(first.homography, adjust(s).homography).max() > 1e-3
        keep = weights > 0.5
        left_out = bundle_adjust_homographies(*s.args, None, keep * 1.0)
        masked = bundle_adjust_homographies(*s.args, keep)
        assert_close(left_out.homography, masked.homography, rtol=1e-9)

    def test_property_items_do_not_mix(self) -> None:
        s = scene("items", batch=3, count=4, number=30, outliers=0.2)
        before = adjust(s)
        points1 = s.points1.clone()
        points1[1] = points1[1].flip(0) * 1.3
        after = adjust(with_points1(s, points1))
        for a, b in zip(before, after, strict=True):
            assert torch.equal(a[::2], b[::2])
        assert not torch.equal(before.homography[1], after.homography[1])
        alone = adjust(s.item(2))
        assert_close(alone.homography, before.homography[2], rtol=1e-9)

    def test_property_equal_calls_give_equal_results(self) -> None:
        s = scene("again", count=4, number=50, outliers=0.3)
        for a, b in zip(adjust(s), adjust(s), strict=True):
            assert torch.equal(a, b)

    @pytest.mark.parametrize("bad", [NAN, INF])
    def test_nan_matches_are_ignored(self, bad: float) -> None:
        s = scene("nan", count=4, number=50)
        valid = torch.rand(1, 6, 50, generator=generator("bundle nan")) < 0.8
        valid[0, 3] = False
        expected = bundle_adjust_homographies(*s.args, valid)
        points0, points1 = s.points0.clone(), s.points1.clone()
        points0[..., 0][~valid] = bad
        points1[:, :, 10:] = torch.where(valid[..., None], points1, bad)[:, :, 10:]
        adjusted = adjust(s._replace(points0=points0, points1=points1))
        for a, b in zip(adjusted, expected, strict=True):
            assert torch.equal(a, b)

    def test_nan_homographies_fail_alone(self) -> None:
        s = scene("nan start", count=4, number=50)
        initial = s.initial.clone()
        initial[0, 2, 1, 1] = NAN
        adjusted = adjust(s._replace(initial=initial))
        assert adjusted.success.tolist() == [[True, True, False, True]]
        assert torch.equal(adjusted.homography[0, 2], EYE)
        assert error(adjusted.homography, s.truth)[0, [1, 3]].max() < 0.5
        initial[0, 0] = 0
        adjusted = adjust(s._replace(initial=initial))
        assert not adjusted.success.any()
        assert torch.equal(adjusted.homography[0, [0, 2]], EYE.expand(2, 3, 3))
        assert torch.equal(adjusted.homography[0, [1, 3]], initial[0, [1, 3]])


# --- what cannot be known ---------------------------------------------------------------------


def test_half_precision_computes_in_float64() -> None:
    s = scene("half", count=3, number=60).item(0)
    half = s._replace(points0=s.points0.half(), points1=s.points1.half(), initial=s.initial.half())
    exact = s._replace(**{name: getattr(half, name).double() for name in ("points0", "points1", "initial")})
    found, expected = adjust(half), adjust(exact)
    assert found.homography.dtype == torch.float16
    assert torch.equal(found.homography, expected.homography.half())
    assert torch.equal(found.success, expected.success)
