"""A joint adjustment knows its accuracy, in scenes whose truth is known."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from diar_ops import bundle_adjust_homographies, homography_dlt, transform_points
from tests.geometry.bundle_scene import (
    F64,
    adjust,
    all_pairs,
    chain,
    corners,
    corners_in_reference,
    error,
    scene,
    spoil,
    with_points1,
)
from tests.harness import assert_close, generator


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
def test_noise_among_mostly_wrong_matches(share: float, options: dict[str, Any], off: float) -> None:
    """20 scenes: the noise within 25 % of the truth, errors near those without wrong matches.

    "pairs": of the ten, those with the reference are wrong altogether, but one to frame 2.
    """
    index = sorted(all_pairs(5), key=lambda pair: (pair == (0, 2), pair))
    s = scene("mostly wrong", batch=20, count=5, number=200, off=off, pairs=index)
    spoiled, wrong = spoil(s, share, **options)
    adjusted = adjust(spoiled)
    ideal = bundle_adjust_homographies(*s.args, ~wrong)
    assert adjusted.success.all()
    scale = adjusted.residual_scale / 0.3
    assert scale.log().abs().max() < 0.22
    rms, best = (error(x.homography, s.truth).square().mean().sqrt() for x in (adjusted, ideal))
    # Wrong matches among the right ones, which nothing tells apart, cost some.
    assert rms < (1.25 if "within" in options else 1.05) * best


@pytest.mark.parametrize("distortion", ["none", "shared"])
def test_gross_errors_do_not_matter(distortion: str) -> None:
    """30 % wrong in every pair: the error is what 70 % of the matches give."""
    clean = scene("gross", count=5, number=400)
    spoiled = scene("gross", count=5, number=400, outliers=0.3)
    wrong = (clean.points1 - spoiled.points1).norm(dim=-1) > 0
    adjusted = adjust(spoiled, distortion=distortion)
    ideal = bundle_adjust_homographies(*clean.args, ~wrong, distortion=distortion)
    assert 0.2 < wrong.double().mean() < 0.4
    assert error(adjusted.homography, ideal.homography).max() < 0.05
    far = (clean.points1 - spoiled.points1).norm(dim=-1) > 10
    assert not (adjusted.inliers & far).any()
    assert (adjusted.inliers | wrong).all()
    assert_close(adjusted.residual_scale, torch.full((1, 5), 0.3), rtol=0.05, atol=0)


def test_chains_reach_frames_without_the_reference() -> None:
    s = scene("chain", count=8, pairs=chain(8), number=300, reference=3)
    adjusted = adjust(s, reference=3)
    assert adjusted.success.all()
    sigma = adjusted.corner_sigma.amax(-1)[0]
    assert (error(adjusted.homography, s.truth)[0] <= 2 * sigma + 1e-9).all()
    assert sigma.max() < 0.6
    assert sigma[3] == 0
    assert (sigma[4:].diff() > 0).all(), "each step adds to what is not known"
    assert (sigma[:3].diff() < 0).all()
    # One more pair from end to end ties the chain down.
    closed = scene("chain", count=8, pairs=[*chain(8), (0, 7)], number=300, reference=3)
    assert (adjust(closed, reference=3).corner_sigma.amax(-1)[0, [0, 7]] < sigma[[0, 7]]).all()


@pytest.mark.parametrize("case", ["all pairs", "chain", "outliers", "lens"], ids=lambda c: c.replace(" ", "-"))
def test_predicted_sigma_is_the_scatter(case: str) -> None:
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
    adjusted = adjust(s, correlated=False, distortion=distortion)
    assert adjusted.success.all()
    truth = corners_in_reference(s.truth, options["k"])
    result = corners_in_reference(adjusted.homography, adjusted.distortion)
    moved = (result - truth)[:, 1:]  # [200, 3, 4, 2]
    scatter = moved.square().sum(-1).mean(0).sqrt()
    predicted = adjusted.corner_sigma[:, 1:].square().mean(0).sqrt()
    assert ((scatter / predicted).log().abs() < 0.15).all(), scatter / predicted
    # No bias: least of all do frames shrink.
    assert (moved.mean(0).norm(dim=-1) < 4 * scatter / 200**0.5).all()
    # The whole covariance, not only its diagonal.
    whitened = torch.linalg.solve(
        torch.linalg.cholesky(adjusted.covariance[:, 1:].mean(0)), moved.flatten(2)[..., None]
    )
    assert_close(whitened.square().sum((-2, -1)).mean(), 8.0, rtol=0.1, atol=0)
    if case == "lens":
        off = adjusted.distortion - options["k"]
        assert_close(off.std() / adjusted.distortion_sigma.mean(), 1.0, rtol=0.15, atol=0)


def test_correlated_errors_show_as_disagreement() -> None:
    """Every pair errs as a whole by 0.3 px, besides 0.3 px per match."""
    s = scene("correlated", batch=100, count=5, number=150, same_truth=True, off=1.0)
    rng = generator("common errors")
    bent = corners() + 0.3 * torch.randn(1000, 4, 2, generator=rng, dtype=F64)
    common = homography_dlt(corners().expand(1000, 4, 2), bent)
    points1 = transform_points(s.points1.flatten(0, 1), common).points.view_as(s.points1)
    s = with_points1(s, points1)
    honest, naive = adjust(s), adjust(s, correlated=False)
    assert torch.equal(honest.homography, naive.homography)
    moved = (corners_in_reference(honest.homography) - corners_in_reference(s.truth))[:, 1:]
    scatter = moved.square().sum(-1).mean().sqrt()
    ratios = [float(scatter / x.corner_sigma[:, 1:].square().mean().sqrt()) for x in (honest, naive)]
    assert ratios[1] > 2
    assert 0.7 < ratios[0] < 1.4
    assert (honest.disagreement > 5).all()


@pytest.mark.parametrize("k", [-0.08, -0.02, 0.0, 0.05, 0.1])
def test_lens(k: float) -> None:
    s = scene(f"lens {k}", count=8, number=1500, outliers=0.1, k=k, motion=25.0)
    adjusted = adjust(s, distortion="shared")
    sigma = adjusted.distortion_sigma
    assert (adjusted.distortion - k).abs() < 3.5 * sigma
    assert sigma < 1e-3
    assert error(adjusted.homography, s.truth).max() < 0.05
    # Corners move with k, which is why they are less sure than with a known lens.
    assert (adjusted.corner_sigma[:, 1:] < 0.5).all()
    if abs(k) > 0.05:
        assert error(adjust(s).homography, s.truth).max() > 2, "without it, pixels are lost"


def test_unknowable_lens() -> None:
    """Equal views say nothing about k: it stays near 0, its sigma says so, and all align."""
    s = scene("tripod", count=3, motion=0.0, off=1.0, number=300)
    adjusted = adjust(s, distortion="shared")
    assert adjusted.distortion_sigma > 0.1
    assert adjusted.success.all()
    assert error(adjust(s).homography, s.truth).max() < 0.15
