"""RANSAC stops when a better sample is unlikely, and sooner with good scores."""

from __future__ import annotations

import pytest
import torch

from diar_ops import corner_error, ransac_homography
from diar_ops.geometry._ransac.stopping import hypotheses_needed, round_ends
from tests.geometry.ransac_scene import F64, SIZE, pairs
from tests.harness import generator


@pytest.mark.parametrize("confidence", [0.5, 0.99, 0.9999])
def test_hypotheses_needed_is_the_formula_of_the_docstring(confidence: float) -> None:
    inliers, count = torch.tensor([4, 50, 99]), torch.tensor([10, 100, 100])
    needed = hypotheses_needed(inliers, count, confidence)
    for k, n, result in zip(inliers.tolist(), count.tolist(), needed.tolist(), strict=True):
        only_inliers = k * (k - 1) * (k - 2) * (k - 3) / n**4
        assert (1 - only_inliers) ** result == pytest.approx(1 - confidence, rel=1e-3)


@pytest.mark.parametrize("most", [1, 192, 193, 8192, 30_000])
def test_rounds_end_with_the_last_iteration(most: int) -> None:
    ends = round_ends(most)
    assert ends == sorted(set(ends))
    assert ends[-1] == most


def test_scores_find_rare_inliers_early() -> None:
    """Three true pairs in a hundred, but with good scores: hopeless without them."""
    src, dst, truth, true = pairs("scores", 4, 1000, 0.97)
    rank = torch.rand(4, 1000, generator=generator("scores"), dtype=F64)
    score = rank + true.to(F64) * 0.9
    score[:, 0] = torch.nan
    result = ransac_homography(src, dst, score=score, max_iterations=4096)
    assert result.success.all()
    assert (corner_error(result.homography, truth, size=(SIZE, SIZE)) < 3).all()
    assert not ransac_homography(src, dst, max_iterations=4096).success.any()


def test_misleading_scores_cost_only_time() -> None:
    src, dst, truth, true = pairs("misleading", 4, 300, 0.5)
    result = ransac_homography(src, dst, score=-true.to(F64))
    assert (corner_error(result.homography, truth, size=(SIZE, SIZE)) < 3).all()


def test_stops_early() -> None:
    easy = ransac_homography(*pairs("easy", 2, 200, 0.2)[:2])
    hard = ransac_homography(*pairs("hard", 2, 200, 0.8)[:2])
    hopeless = ransac_homography(*pairs("hopeless", 2, 200, 1.0)[:2], max_iterations=20_000)
    assert (hopeless.iterations == 20_000).all()
    assert (easy.iterations == round_ends(100_000)[0]).all()
    assert (hard.iterations > easy.iterations).all()
    capped = ransac_homography(*pairs("hard", 2, 200, 0.8)[:2], max_iterations=77)
    assert (capped.iterations == 77).all()


@pytest.mark.parametrize(("outliers", "plain"), [(0.9, 69_000), (0.95, 1_100_000)])
def test_neighbours_find_rare_inliers_early(outliers: float, plain: int) -> None:
    """Long before plain sampling does."""
    src, dst, truth, true = pairs("neighbours", 16, 2000, outliers)
    result = ransac_homography(src, dst, max_iterations=plain // 3)
    assert result.success.all()
    assert (corner_error(result.homography, truth, size=(SIZE, SIZE)) < 3).all()
    assert (result.inliers & true).sum() >= 0.98 * true.sum()
    assert (result.iterations < plain // 4).all()


def test_neighbours_do_not_hide_the_larger_plane() -> None:
    """A small patch, full of matches, beside a sparse plane that has twice as many."""
    src, dst, truth, true = pairs("two planes", 16, 600, 0.6)
    patch = (~true).cumsum(-1).le(120) & ~true
    inside = 200 + 60 * torch.rand(src.shape, generator=generator("patch"), dtype=F64)
    src = torch.where(patch[..., None], inside, src)
    dst = torch.where(patch[..., None], inside.flip(-1) + 90, dst)
    result = ransac_homography(src, dst)
    assert (corner_error(result.homography, truth, size=(SIZE, SIZE)) < 3).all()
