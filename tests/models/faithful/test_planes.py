"""The steps of FaithfulDIAR that have an answer of their own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from diar_ops.models.faithful.planes import (
    BRIGHT,
    CLUE_UNIT,
    CLUES,
    LEAST_SUPPORT,
    NEARLY_CLIPPED,
    SPREAD,
    STRIDE,
    score_clues,
    spread,
    token_range,
)
from tests.harness import assert_close, generator


def numbers(name: str, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator(name), dtype=torch.float64)


def shares(name: str, *shape: int) -> Tensor:
    return torch.rand(shape, generator=generator(name), dtype=torch.float64)


# --- light from samples ---------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(16, 16), (3, 5), (1, 1)])
def test_samples_that_are_all_the_same(size: tuple[int, int]) -> None:
    weight = shares("weights", 2, 3, 1, *size)
    value = numbers("a value for each channel", 2, 3, 3, 1, 1)
    assert_close(spread(value * weight, weight), value.expand(2, 3, 3, *size), rtol=1e-6)


def test_no_samples_at_all() -> None:
    x, weight = torch.zeros(1, 2, 3, 16, 16), torch.zeros(1, 2, 1, 16, 16)
    assert torch.equal(spread(x, weight), x)
    x.requires_grad_()
    weight.requires_grad_()
    spread(x, weight).square().sum().backward()
    for tensor in (x, weight):
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()


def test_one_sample_holds_everywhere() -> None:
    weight = torch.zeros(1, 1, 1, 16, 16, dtype=torch.float64)
    weight[..., 2, 5] = 0.7
    value = torch.tensor([0.4, -0.2, 0.1], dtype=torch.float64).view(1, 1, 3, 1, 1)
    assert_close(spread(value * weight, weight), value.expand(1, 1, 3, 16, 16), rtol=1e-6)


def test_what_is_near_counts_by_its_distance() -> None:
    """Cell by cell, from the definition."""
    weight = shares("weights", 1, 2, 1, 6, 5)
    x = numbers("samples", 1, 2, 3, 6, 5) * weight
    result = spread(x, weight)
    tent = torch.exp(-(torch.arange(-3.0, 4.0).double() ** 2) / (2 * SPREAD**2))
    tent = tent / tent.sum()
    for t in range(2):
        mean = x[0, t].mean((1, 2)) / weight[0, t].mean()
        for row in range(6):
            for column in range(5):
                near, support = LEAST_SUPPORT * mean, LEAST_SUPPORT
                for y in range(max(0, row - 3), min(6, row + 4)):
                    for z in range(max(0, column - 3), min(5, column + 4)):
                        share = tent[y - row + 3] * tent[z - column + 3]
                        near = near + share * x[0, t, :, y, z]
                        support = support + share * weight[0, t, 0, y, z]
                assert_close(result[0, t, :, row, column], near / support)


# --- darkest and brightest ------------------------------------------------------------------------


@pytest.mark.parametrize("masked", [False, True])
def test_darkest_and_brightest_of_every_token(masked: bool) -> None:
    log = 2 * numbers("logs", 2, 3, 3, 16, 24)  # some beyond what is kept
    known = torch.ones(2, 3, 1, 16, 24, dtype=torch.float64)
    if masked:
        known = (shares("known", 2, 3, 1, 16, 24) < 0.8).double()
        known[:, 1, :, :8, :8] = 0
    least, most = token_range(log, known)
    assert least.shape == most.shape == (2, 3, 3, 2, 3)
    for item in range(2):
        for t in range(3):
            for row in range(2):
                for column in range(3):
                    means = [
                        log[item, t, :, y : y + 2, x : x + 2].mean((1, 2))
                        for y in range(STRIDE * row, STRIDE * (row + 1), 2)
                        for x in range(STRIDE * column, STRIDE * (column + 1), 2)
                        if known[item, t, 0, y : y + 2, x : x + 2].all()
                    ]
                    if not means:
                        assert (least[item, t, :, row, column] == BRIGHT).all()
                        assert (most[item, t, :, row, column] == -BRIGHT).all()
                        continue
                    all_means = torch.stack(means)
                    darkest = all_means.amin(0).clamp(-BRIGHT, BRIGHT)
                    assert_close(least[item, t, :, row, column], darkest)
                    # Nothing is brighter than white, but for what is made brighter.
                    brightest = all_means.amax(0).clamp_min(-BRIGHT)
                    assert_close(most[item, t, :, row, column], brightest)


def test_pixels_that_are_not_known_are_no_extremes() -> None:
    log, known = torch.zeros(1, 1, 3, 8, 8), torch.ones(1, 1, 1, 8, 8)
    log[..., 3, 3], log[..., 5, 5] = -2.5, 2.5
    known[..., 3, 3] = known[..., 5, 5] = 0
    for result in token_range(log, known):
        assert not result.any()


# --- scores of pixels -----------------------------------------------------------------------------


def test_scores_from_clues() -> None:
    """Pixel by pixel."""
    clue_shares = numbers("shares", 2, 3, CLUES, 4, 5)
    apart, frames = numbers("apart", 2, 3, 3, 4, 5), shares("frames", 2, 3, 3, 4, 5)
    added = numbers("added", 2, 3, 3, 4, 5)
    frames[:, :, :, 0] += 0.5
    result = score_clues(clue_shares, apart, added, apart.abs(), frames)
    assert result.shape == (2, 3, 1, 4, 5)
    for at in torch.cartesian_prod(*map(torch.arange, (2, 3, 4, 5))).tolist():
        item, t, y, x = at
        share, far = clue_shares[item, t, :, y, x], apart[item, t, :, y, x]
        score = sum(float(share[c] * far[c].abs()) for c in range(3))
        score += float(share[3] * far.sum())
        brightest = max(float(v) for v in frames[item, t, :, y, x])
        if brightest > NEARLY_CLIPPED:
            score += float(share[4]) * (brightest - NEARLY_CLIPPED)
        score += float(share[5] * added[item, t, :, y, x].abs().sum())
        assert result[item, t, 0, y, x].item() == pytest.approx(CLUE_UNIT * score, abs=1e-9)
    assert (frames.amax(2) > NEARLY_CLIPPED).any()
    assert (frames.amax(2) < NEARLY_CLIPPED).any()
