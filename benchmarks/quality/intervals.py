"""Means and other statistics with 95 % intervals, by bootstrap over pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._seeds import generator_for

#: Resamplings behind an interval, and how many are worked on at a time, which bounds the memory.
RESAMPLES, CHUNK = 4000, 250


class Mean(NamedTuple):
    """A mean, or another statistic, and the ends of its 95 % interval.

    A single picture says nothing about others: the ends are NaN.
    """

    mean: float
    low: float
    high: float


def mean_of(values: Tensor, pictures: Sequence[str] | None = None) -> Mean:
    """Return the mean of values and its interval.

    Sequences of one picture are easy or hard together: whole pictures are drawn, each with all its
    values, or the interval would be too narrow.

    Args:
        values: (N,), N at least 1.
        pictures: N names, what each value belongs to; None: each to a picture of its own.
    """
    values = values.double()
    number = torch.arange(len(values)) if pictures is None else number_pictures(pictures)
    count = int(number.max()) + 1
    sums = values.new_zeros(count).index_add(0, number, values)
    sizes = number.bincount().double()
    resampled = resample(lambda drawn: sums[drawn].sum(dim=1) / sizes[drawn].sum(dim=1), count)
    return interval(float(values.mean()), resampled)


def number_pictures(pictures: Sequence[str]) -> Tensor:
    """Return (N,) int64: pictures numbered from 0 on, in order of appearance."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(pictures))}
    return torch.tensor([numbers[name] for name in pictures], dtype=torch.int64)


def resample(statistic: Callable[[Tensor], Tensor], count: int) -> Tensor:
    """Return a statistic of resampled pictures, (RESAMPLES,), or (0,) for a single picture.

    Args:
        statistic: Maps indices of drawn pictures (R, count) to values (R,).
        count: How many pictures there are.
    """
    if count == 1:
        return torch.empty(0, dtype=torch.float64)
    return torch.cat([statistic(drawn) for drawn in torch.split(_draw_pictures(count), CHUNK)])


def interval(value: float, resampled: Tensor) -> Mean:
    """Return a value with the percentile interval of its resamplings (R,), NaN without any."""
    if not len(resampled):
        return Mean(value, float("nan"), float("nan"))
    # "nearest" reads values as they are: what is between infinite ones would be NaN.
    ends = resampled.quantile(resampled.new_tensor([0.025, 0.975]), interpolation="nearest")
    return Mean(value, float(ends[0]), float(ends[1]))


@lru_cache(maxsize=8)
def _draw_pictures(count: int) -> Tensor:
    """Return (RESAMPLES, count) indices of pictures, drawn with replacement."""
    generator = generator_for("bootstrap", count)
    return torch.randint(count, (RESAMPLES, count), generator=generator)
