"""Means have the intervals of their pictures."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import bootstrap

from benchmarks.quality.intervals import Mean, mean_of
from tests.harness import generator


def test_the_interval_of_a_mean_is_that_of_the_normal_law() -> None:
    values = torch.randn(400, generator=generator("bootstrap"), dtype=torch.float64) * 3 + 20
    mean = mean_of(values)
    assert mean.mean == pytest.approx(float(values.mean()))
    half = 1.96 * float(values.std()) / 20
    assert mean.low == pytest.approx(mean.mean - half, abs=0.1 * half)
    assert mean.high == pytest.approx(mean.mean + half, abs=0.1 * half)
    assert mean_of(values) == mean, "the same on every call"


def test_intervals_of_equal_single_and_infinite_values() -> None:
    assert mean_of(torch.full((5,), 7.0)) == Mean(7, 7, 7)
    alone = mean_of(torch.tensor([7.0]))
    assert alone.mean == 7
    assert math.isnan(alone.low)
    assert mean_of(torch.tensor([math.inf, 1.0, 2.0])).high == math.inf


def test_sequences_of_one_picture_are_drawn_together() -> None:
    # Five sequences of each of twenty pictures, all alike: a hundred say no more than twenty do.
    quality = torch.randn(20, generator=generator("pictures"), dtype=torch.float64)
    values = quality.repeat_interleave(5)
    pictures = [f"{i // 5}.jpg" for i in range(100)]
    twenty, hundred = mean_of(quality), mean_of(values, pictures)
    assert hundred.mean == pytest.approx(twenty.mean)
    assert hundred.low == pytest.approx(twenty.low)
    assert hundred.high == pytest.approx(twenty.high)
    naive = mean_of(values)
    assert naive.high - naive.low < 0.6 * (hundred.high - hundred.low)
    assert mean_of(quality, [str(i) for i in range(20)]) == twenty
    assert math.isnan(mean_of(values[:10], ["one.jpg"] * 10).low)


def test_pictures_of_unequal_numbers_of_sequences_weigh_by_them() -> None:
    values = torch.tensor([1.0, 1.0, 1.0, 5.0])
    mean = mean_of(values, ["a", "a", "a", "b"])
    assert mean == Mean(2, 1, 5)


def test_oracle_scipy() -> None:
    """The interval is the percentile interval of SciPy's bootstrap over whole pictures."""
    sizes = torch.randint(1, 6, (40,), generator=generator("sizes"))
    quality = torch.randn(40, generator=generator("quality"), dtype=torch.float64).repeat_interleave(sizes)
    values = quality + 0.3 * torch.randn(len(quality), generator=generator("values"), dtype=torch.float64)
    of_pictures = [group.numpy() for group in values.split(sizes.tolist())]
    mean = mean_of(values, [str(n) for n, size in enumerate(sizes.tolist()) for _ in range(size)])

    def statistic(drawn: np.ndarray) -> float:
        return np.concatenate([of_pictures[n] for n in drawn]).mean()

    drawn = (np.arange(40),)
    expected = bootstrap(drawn, statistic, n_resamples=4000, vectorized=False, method="percentile", rng=0)
    # An end of 4000 resamplings has a standard error of 0.042 standard errors of the mean:
    # four of the difference of two ends.
    close = 4 * 2**0.5 * 0.042 * expected.standard_error
    assert mean.low == pytest.approx(expected.confidence_interval.low, abs=close)
    assert mean.high == pytest.approx(expected.confidence_interval.high, abs=close)
