"""bundle_adjust_homographies against SciPy, known scenes, and its own predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from diar_ops import (
    BundleAdjustHomographies,
    BundleAdjustment,
    DtypeError,
    OptionError,
    ShapeError,
    bundle_adjust_homographies,
    homography_dlt,
    transform_points,
    undistort_points,
)
from diar_ops.geometry._bundle import adjust as rounds
from tests.geometry.bundle_scene import (
    F64,
    SIZE,
    Scene,
    all_pairs,
    chain,
    corners,
    error,
    scene,
    spoil,
)
from tests.harness import Call, OpTests, assert_close, generator

NAN, INF = float("nan"), float("inf")
EYE = torch.eye(3, dtype=F64)


def laid_corners(homography: Tensor, k: Tensor | float = 0.0) -> Tensor:
    """Return (B, T, 4, 2), the corners of frames with lens k laid in the reference."""
    flat = homography.to(F64).reshape(-1, 3, 3)
    k = torch.as_tensor(k, dtype=F64).expand(len(homography)).repeat_interleave(homography.shape[1])
    points = undistort_points(corners().expand(len(flat), 4, 2), k, size=SIZE).points
    return transform_points(points, flat).points.view(*homography.shape[:-2], 4, 2)


def adjust(s: Scene, **options: Any) -> BundleAdjustment:
    return bundle_adjust_homographies(*s.args, **options)


def with_points1(s: Scene, points1: Tensor) -> Scene:
    return s._replace(points1=points1)


class TestBundleAdjustHomographies(OpTests):
    op = "bundle_adjust_homographies"
    module = "BundleAdjustHomographies"
    exempt = {"gradcheck": "an iteration of unknown length is not differentiated; documented"}

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        s = scene("call", batch=2, count=3, number=40, off=0.3)
        args = tuple(x.to(device, dtype) if x.is_floating_point() else x.to(device) for x in s.args)
        valid = torch.rand(2, 3, 40, generator=generator("call")) < 0.9
        weights = torch.rand(2, 3, 40, generator=generator("weights")) + 0.1
        options = {"distortion": "shared", "scale": 0.3, "correlated": False, "max_iterations": 1}
        return Call((*args, valid.to(device), weights.to(device, dtype)), options)

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
            bundle_adjust_homographies(
                frames, points0, points1, initial, sizes, torch.ones(2, 3, 5)
            )
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
    @pytest.mark.parametrize(
        ("count", "pairs", "number"), [(1, 0, 5), (3, 0, 5), (3, 2, 0), (3, 2, 12), (2, 1, 3)]
    )
    @pytest.mark.parametrize("distortion", ["none", "shared"])
    def test_cardinality(
        self, leading: tuple[int, ...], count: int, pairs: int, number: int, distortion: str
    ) -> None:
        s = scene("sizes", count=count, pairs=chain(3)[:pairs], number=number).item(0)
        args = [x.expand(*leading, *x.shape) for x in s.args]
        found = bundle_adjust_homographies(*args, distortion=distortion)
        assert found.homography.shape == (*leading, count, 3, 3)
        assert found.covariance.shape == (*leading, count, 8, 8)
        assert found.corner_sigma.shape == (*leading, count, 4)
        assert found.inliers.shape == (*leading, pairs, number)
        for x in (found.success, found.residual_scale):
            assert x.shape == (*leading, count)
        for x in found[7:]:
            assert x.shape == leading
        assert not any(x.isnan().any() for x in found)
        # The reference is itself; the others are known if there are matches.
        expected = [True, *[number > 4] * pairs, *[False] * (count - 1 - pairs)]
        assert (found.success == torch.tensor(expected)).all()
        assert (found.homography[..., 0, :, :] == EYE).all()
        if number <= 4:
            assert torch.equal(found.homography[..., 1:, :, :], args[3][..., 1:, :, :])
            assert found.corner_sigma[..., 1:, :].isinf().all()

    def test_oracle_scipy_minimum(self) -> None:
        """Least squares of the same distances by SciPy, with its own numerical derivatives."""
        from scipy.optimize import least_squares

        s = scene("scipy", count=4, number=25).item(0)
        scale = 1e4  # nothing is out of reach: the biweight is a parabola
        found = adjust(s, scale=scale)

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
            distances,
            start.flatten(1)[:, :8].numpy().ravel(),
            x_scale="jac",
            method="lm",
            xtol=1e-14,
            ftol=1e-14,
        )
        h = torch.from_numpy(np.c_[solution.x.reshape(3, 8), np.ones(3)].reshape(3, 3, 3))
        assert error(found.homography[1:], h).max() < 1e-5

    def test_oracle_maximum_likelihood(self) -> None:
        """The Sampson distance stands for one latent point per match: compare with just that."""
        from scipy.optimize import least_squares

        s = scene("latent", count=2, number=20, noise=1.0).item(0)
        found = adjust(s, scale=1e4)
        a, b = s.points0[0].numpy(), s.points1[0].numpy()

        def residual(x: np.ndarray) -> np.ndarray:
            h = np.append(x[:8], 1).reshape(3, 3)
            latent = x[8:].reshape(-1, 2)  # in frame 1; frame 0 is the reference
            q = np.c_[latent, np.ones(len(latent))] @ h.T
            return np.concatenate((latent - b, q[:, :2] / q[:, 2:] - a)).ravel()

        start = np.concatenate(((s.truth[1] / s.truth[1, 2, 2]).numpy().ravel()[:8], b.ravel()))
        solution = least_squares(
            residual, start, x_scale="jac", method="lm", xtol=1e-14, ftol=1e-14
        )
        h = torch.from_numpy(np.append(solution.x[:8], 1).reshape(3, 3))
        assert error(found.homography[1], s.truth[1]) > 0.1
        # Of a millimetre's error, a micrometre.
        assert error(found.homography[1], h) < 2e-3

    def test_oracle_exact_matches(self) -> None:
        s = scene("exact", batch=2, count=5, noise=0, outliers=0.3, off=10)
        found = adjust(s)
        assert error(found.homography, s.truth).max() < 1e-6
        assert found.success.all()
        assert_close(found.inliers.double().mean(), 0.7, atol=0.05)

    @pytest.mark.parametrize("off", [1.0, 15.0], ids=["near", "far"])
    @pytest.mark.parametrize(
        ("share", "options"),
        [
            (0.5, {}),
            (0.7, {}),
            (0.8, {}),
            (0.5, {"within": 6.0}),
            (0.7, {"within": 6.0}),
            (0.5, {"wrong_pairs": 4}),
            (0.7, {"wrong_pairs": 4}),
        ],
        ids=["50%", "70%", "80%", "50% local", "70% local", "50% pairs", "70% pairs"],
    )
    def test_oracle_noise_among_mostly_wrong_matches(
        self, share: float, options: dict[str, Any], off: float
    ) -> None:
        """20 scenes: the noise within 25 % of the truth, errors near those without wrong matches.

        "pairs": of the ten, those with the reference are wrong altogether, but one to frame 2.
        """
        index = sorted(all_pairs(5), key=lambda pair: (pair == (0, 2), pair))
        s = scene("mostly wrong", batch=20, count=5, number=200, off=off, pairs=index)
        spoiled, wrong = spoil(s, share, **options)
        found = adjust(spoiled)
        ideal = bundle_adjust_homographies(*s.args, ~wrong)
        assert found.success.all()
        scale = found.residual_scale / 0.3
        assert scale.log().abs().max() < 0.22
        rms, best = (error(x.homography, s.truth).square().mean().sqrt() for x in (found, ideal))
        # Wrong matches among the right ones, which nothing tells apart, cost some.
        assert rms < (1.25 if "within" in options else 1.05) * best

    @pytest.mark.parametrize("distortion", ["none", "shared"])
    def test_oracle_gross_errors_do_not_matter(self, distortion: str) -> None:
        """30 % wrong in every pair: the error is what 70 % of the matches give."""
        clean = scene("gross", count=5, number=400)
        spoiled = scene("gross", count=5, number=400, outliers=0.3)
        wrong = (clean.points1 - spoiled.points1).norm(dim=-1) > 0
        found = adjust(spoiled, distortion=distortion)
        ideal = bundle_adjust_homographies(*clean.args, ~wrong, distortion=distortion)
        assert 0.2 < wrong.double().mean() < 0.4
        assert error(found.homography, ideal.homography).max() < 0.05
        far = (clean.points1 - spoiled.points1).norm(dim=-1) > 10
        assert not (found.inliers & far).any()
        assert (found.inliers | wrong).all()
        assert_close(found.residual_scale, torch.full((1, 5), 0.3), rtol=0.05, atol=0)

    def test_oracle_chains_reach_frames_without_the_reference(self) -> None:
        s = scene("chain", count=8, pairs=chain(8), number=300, reference=3)
        found = adjust(s, reference=3)
        assert found.success.all()
        sigma = found.corner_sigma.amax(-1)[0]
        assert (error(found.homography, s.truth)[0] <= 2 * sigma + 1e-9).all()
        assert sigma.max() < 0.6
        assert sigma[3] == 0
        assert (sigma[4:].diff() > 0).all(), "each step adds to what is not known"
        assert (sigma[:3].diff() < 0).all()
        # One more pair from end to end ties the chain down.
        closed = scene("chain", count=8, pairs=[*chain(8), (0, 7)], number=300, reference=3)
        assert (adjust(closed, reference=3).corner_sigma.amax(-1)[0, [0, 7]] < sigma[[0, 7]]).all()

    @pytest.mark.parametrize(
        "case", ["all pairs", "chain", "outliers", "lens"], ids=lambda c: c.replace(" ", "-")
    )
    def test_oracle_predicted_sigma_is_the_scatter(self, case: str) -> None:
        """200 repeats with new noise: corners scatter about the truth as predicted, within 15 %."""
        options: dict[str, Any] = {"outliers": 0.3} if case == "outliers" else {}
        options["k"] = -0.06 if case == "lens" else 0.0
        s = scene(
            f"monte carlo {case}",
            batch=200,
            count=4,
            number=60,
            same_truth=True,
            off=1.0,
            pairs=chain(4) if case == "chain" else all_pairs(4),
            **options,
        )
        distortion = "shared" if case == "lens" else "none"
        found = adjust(s, correlated=False, distortion=distortion)
        assert found.success.all()
        truth = laid_corners(s.truth, options["k"])
        moved = (laid_corners(found.homography, found.distortion) - truth)[:, 1:]  # [200, 3, 4, 2]
        scatter = moved.square().sum(-1).mean(0).sqrt()
        predicted = found.corner_sigma[:, 1:].square().mean(0).sqrt()
        assert ((scatter / predicted).log().abs() < 0.15).all(), scatter / predicted
        # No bias: least of all do frames shrink.
        assert (moved.mean(0).norm(dim=-1) < 4 * scatter / 200**0.5).all()
        # The whole covariance, not only its diagonal.
        whitened = torch.linalg.solve(
            torch.linalg.cholesky(found.covariance[:, 1:].mean(0)), moved.flatten(2)[..., None]
        )
        assert_close(whitened.square().sum((-2, -1)).mean(), 8.0, rtol=0.1, atol=0)
        if case == "lens":
            off = found.distortion - options["k"]
            assert_close(off.std() / found.distortion_sigma.mean(), 1.0, rtol=0.15, atol=0)

    def test_oracle_correlated_errors_show_as_disagreement(self) -> None:
        """Every pair errs as a whole by 0.3 px, besides 0.3 px per match."""
        s = scene("correlated", batch=100, count=5, number=150, same_truth=True, off=1.0)
        rng = generator("common errors")
        bent = corners() + 0.3 * torch.randn(1000, 4, 2, generator=rng, dtype=F64)
        common = homography_dlt(corners().expand(1000, 4, 2), bent)
        points1 = transform_points(s.points1.flatten(0, 1), common).points.view_as(s.points1)
        s = with_points1(s, points1)
        honest, naive = adjust(s), adjust(s, correlated=False)
        assert torch.equal(honest.homography, naive.homography)
        moved = (laid_corners(honest.homography) - laid_corners(s.truth))[:, 1:]
        scatter = moved.square().sum(-1).mean().sqrt()
        ratios = [
            float(scatter / x.corner_sigma[:, 1:].square().mean().sqrt()) for x in (honest, naive)
        ]
        assert ratios[1] > 2
        assert 0.7 < ratios[0] < 1.4
        assert (honest.disagreement > 5).all()

    @pytest.mark.parametrize("k", [-0.08, -0.02, 0.0, 0.05, 0.1])
    def test_oracle_lens(self, k: float) -> None:
        s = scene(f"lens {k}", count=8, number=1500, outliers=0.1, k=k, motion=25.0)
        found = adjust(s, distortion="shared")
        sigma = found.distortion_sigma
        assert (found.distortion - k).abs() < 3.5 * sigma
        assert sigma < 1e-3
        assert error(found.homography, s.truth).max() < 0.05
        # Corners move with k, which is why they are less sure than with a known lens.
        assert (found.corner_sigma[:, 1:] < 0.5).all()
        if abs(k) > 0.05:
            assert error(adjust(s).homography, s.truth).max() > 2, "without it, pixels are lost"

    def test_oracle_unknowable_lens(self) -> None:
        """Equal views say nothing about k: it stays near 0, its sigma says so, and all align."""
        s = scene("tripod", count=3, motion=0.0, off=1.0, number=300)
        found = adjust(s, distortion="shared")
        assert found.distortion_sigma > 0.1
        assert found.success.all()
        assert error(adjust(s).homography, s.truth).max() < 0.15

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
        both = bundle_adjust_homographies(
            *(torch.stack((x, x)) for x in s.args), reference=torch.tensor([2, 1])
        )
        assert_close(both.homography, torch.stack((results[2], results[1])), rtol=1e-6)

    def test_property_pixel_units(self) -> None:
        """Twice the resolution: twice the pixels in every length."""
        s = scene("units", count=3, number=50).item(0)
        double = s._replace(
            points0=2 * s.points0,
            points1=2 * s.points1,
            sizes=2 * s.sizes,
            initial=(zoom := torch.diag(torch.tensor([2.0, 2, 1], dtype=F64)))
            @ s.initial
            @ torch.linalg.inv(zoom),
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
        found = adjust(s._replace(points0=points0, points1=points1))
        for a, b in zip(found, expected, strict=True):
            assert torch.equal(a, b)

    def test_nan_homographies_fail_alone(self) -> None:
        s = scene("nan start", count=4, number=50)
        initial = s.initial.clone()
        initial[0, 2, 1, 1] = NAN
        found = adjust(s._replace(initial=initial))
        assert found.success.tolist() == [[True, True, False, True]]
        assert torch.equal(found.homography[0, 2], EYE)
        assert error(found.homography, s.truth)[0, [1, 3]].max() < 0.5
        initial[0, 0] = 0
        found = adjust(s._replace(initial=initial))
        assert not found.success.any()
        assert torch.equal(found.homography[0, [0, 2]], EYE.expand(2, 3, 3))
        assert torch.equal(found.homography[0, [1, 3]], initial[0, [1, 3]])


# --- what cannot be known ---------------------------------------------------------------------


def test_frames_that_nothing_ties_to_the_reference_stay_as_they_came() -> None:
    s = scene("islands", count=6, pairs=[(0, 1), (1, 2), (3, 4)], number=50)
    found = adjust(s)
    assert found.success.tolist() == [[True, True, True, False, False, False]]
    assert torch.equal(found.homography[:, 3:], s.initial[:, 3:])
    assert found.corner_sigma[0, 3:].isinf().all()
    assert found.residual_scale[0, 3:].isinf().all()
    assert not found.inliers[0, 2].any()
    alone = Scene(*(x[:, :2] for x in s[:3]), *(x[:, :3] for x in s[3:]))
    assert_close(found.homography[:, :3], adjust(alone).homography, rtol=1e-9)


def test_frames_whose_matches_are_all_wrong_fail_and_spoil_nothing() -> None:
    s = scene("stranger", count=4, number=60)
    rng = generator("stranger")
    points1 = s.points1.clone()
    for p, (_, j) in enumerate(all_pairs(4)):
        if j == 3:
            points1[0, p] = 300 * torch.rand(60, 2, generator=rng, dtype=F64)
    found = adjust(with_points1(s, points1))
    assert found.success.tolist() == [[True, True, True, False]]
    assert error(found.homography, s.truth)[0, :3].max() < 0.5


def lost_frames(share: float = 0.5) -> tuple[Scene, Tensor, list[bool]]:
    """Frame 4's matches are all wrong and frame 3's lie on a line: the scene, and what to mask."""
    s = scene("lost frames", batch=2, count=6, number=80)
    spoiled, _ = spoil(s, share)
    points0, points1 = spoiled.points0.clone(), spoiled.points1.clone()
    far, _ = spoil(s, 1.0)
    along = torch.linspace(0, 200, 80, dtype=F64)[:, None] * torch.tensor([1.0, 0.7], dtype=F64)
    for p, pair in enumerate(all_pairs(6)):
        if 4 in pair:
            points1[0, p] = far.points1[0, p]
        elif 3 in pair:
            points0[0, p], points1[0, p] = along, along + 0.3
    bad = ((s.frames == 3) | (s.frames == 4)).any(-1)
    bad[1] = False
    expected = [True, True, True, False, False, True]
    return spoiled._replace(points0=points0, points1=points1), bad, expected


@pytest.mark.parametrize("distortion", ["none", "shared"])
def test_frames_without_success_stay_and_have_no_say(distortion: str) -> None:
    s, bad, expected = lost_frames()
    found = adjust(s, distortion=distortion)
    assert found.success.tolist() == [expected, [True] * 6]
    assert torch.equal(found.homography[~found.success], s.initial[~found.success])
    assert not found.inliers[bad].any()
    keep = (~bad)[..., None].expand(s.points0.shape[:-1])
    without = bundle_adjust_homographies(*s.args, keep, distortion=distortion)
    for name, a, b in zip(found._fields, found, without, strict=True):
        if name == "cost":
            left = bad[0].double().mean()
            assert_close(a[0], left + (1 - left) * b[0], rtol=1e-9)
        elif name == "iterations":
            assert a[0] > b[0]
            assert a[1] == b[1]
        else:
            assert torch.equal(a, b), name


def test_where_nothing_can_be_read_frames_are_left_out_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    s, _, _ = lost_frames()
    expected = adjust(s)
    monkeypatch.setattr(rounds, "read_number", lambda value: None)
    for a, b in zip(adjust(s), expected, strict=True):
        assert_close(a, b, rtol=1e-9)


def test_a_false_pair_does_not_pull() -> None:
    """One pair of many agrees within itself on a wrong homography, and has half of the matches."""
    s = scene("false pair", count=5, number=60)
    expected = adjust(s)
    wrong = scene("another picture", count=5, number=60)
    points0, points1 = s.points0.clone(), s.points1.clone()
    points0[0, 4], points1[0, 4] = wrong.points0[0, 4], wrong.points1[0, 4] + 15
    found = adjust(s._replace(points0=points0, points1=points1))
    assert error(found.homography, expected.homography).max() < 0.2
    assert found.inliers[0, 4].double().mean() < 0.1
    assert found.success.all()


@pytest.mark.parametrize("kind", ["line", "noisy line", "spot", "line and one point"])
def test_degenerate_points_are_no_success(kind: str) -> None:
    rng = generator(f"degenerate {kind}")
    t = 200 * torch.rand(200, 1, generator=rng, dtype=F64)
    points = 20 + t * torch.tensor([1.0, 0.7], dtype=F64)
    if kind == "spot":
        points = torch.full_like(points, 77.0)
    if kind == "line and one point":
        points[0] = torch.tensor([10.0, 200.0])
    noise = 0.4 * torch.randn(2, 200, 2, generator=rng, dtype=F64)
    noise = 0 * noise if kind == "line" else noise
    found = bundle_adjust_homographies(
        torch.tensor([[0, 1]]),
        (points + noise[0])[None],
        (points + noise[1])[None],
        EYE.expand(2, 3, 3),
        torch.tensor([SIZE, SIZE]),
    )
    assert found.success.tolist() == [True, False]
    assert found.corner_sigma[1].isinf().all()
    assert found.homography.isfinite().all()


def test_exactly_determined_is_not_known() -> None:
    """Four matches fit without a residual that could say how good they are."""
    s = scene("four", count=2, number=4, noise=0.0)
    found = adjust(s)
    assert found.success.tolist() == [[True, False]]
    assert torch.equal(found.homography[:, 1], s.initial[:, 1])


def test_a_pair_of_a_frame_with_itself_and_padding_say_nothing() -> None:
    s = scene("padding", count=3, number=30).item(0)
    more = torch.tensor([[1, 1], [-1, 2], [0, 3], [7, 9]])
    noise = 100 * torch.rand(2, 4, 30, 2, generator=generator("padding"), dtype=F64)
    padded = Scene(
        torch.cat((more, s.frames)),
        torch.cat((noise[0], s.points0)),
        torch.cat((noise[1], s.points1)),
        *s[3:],
    )
    found, expected = adjust(padded), adjust(s)
    assert_close(found.homography, expected.homography, rtol=1e-9)
    assert_close(found.corner_sigma, expected.corner_sigma, rtol=1e-9)
    assert not found.inliers[:4].any()


def test_half_precision_computes_in_float64() -> None:
    s = scene("half", count=3, number=60).item(0)
    half = s._replace(points0=s.points0.half(), points1=s.points1.half(), initial=s.initial.half())
    exact = s._replace(
        **{name: getattr(half, name).double() for name in ("points0", "points1", "initial")}
    )
    found, expected = adjust(half), adjust(exact)
    assert found.homography.dtype == torch.float16
    assert torch.equal(found.homography, expected.homography.half())
    assert torch.equal(found.success, expected.success)


def test_outputs_carry_no_gradient() -> None:
    s = scene("no gradient", count=3, number=30)
    found = adjust(s._replace(points0=s.points0.requires_grad_()))
    assert not any(x.requires_grad for x in found)
