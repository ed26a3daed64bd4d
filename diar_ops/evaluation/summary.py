"""Means over sequences and how sure they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from diar_ops._seeds import generator_for
from diar_ops.evaluation.rows import Keyed, Scored
from diar_ops.evaluation.scores import SCORES

__all__ = [
    "Mean", "Pictures", "Summary", "column", "count_pictures", "mean_of", "number_pictures",
    "picture_of_sequence", "resamples", "scores_of", "summarise", "with_interval",
]  # fmt: skip

#: Resamplings behind an interval.
RESAMPLES = 4000

#: Which picture a sequence shows, by (set, sequence). One that is not listed shows its own.
Pictures: TypeAlias = Mapping[tuple[str, str], str]


class Mean(NamedTuple):
    """A mean and the ends of its 95 % interval, by bootstrap over pictures (percentiles).

    A single picture says nothing about others: the ends are NaN.
    """

    mean: float
    low: float
    high: float


class Summary(NamedTuple):
    """What a method reaches on a set with the first ``frames`` frames.

    Attributes:
        sequences: How many were scored.
        pictures: How many different pictures they show.
        scores: By name, see :data:`SCORES`.
    """

    set: str
    frames: int
    method: str
    sequences: int
    pictures: int
    scores: dict[str, Mean]


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
    if count == 1:
        return Mean(float(values.mean()), float("nan"), float("nan"))
    sums = values.new_zeros(count).index_add(0, number, values)
    sizes = number.bincount().double()
    drawn = resamples(count)
    means = sums[drawn].sum(dim=1) / sizes[drawn].sum(dim=1)
    return with_interval(float(values.mean()), means)


def with_interval(value: float, drawn: Tensor) -> Mean:
    """Return a value with the interval of what resamplings (R,) drew of it."""
    # "nearest" reads values as they are: what is between infinite ones would be NaN.
    ends = drawn.quantile(drawn.new_tensor([0.025, 0.975]), interpolation="nearest")
    return Mean(value, float(ends[0]), float(ends[1]))


@lru_cache(maxsize=8)
def resamples(count: int) -> Tensor:
    """Return (RESAMPLES, count) indices of the bootstrap: pictures drawn with replacement."""
    dice = generator_for("bootstrap", count)
    return torch.randint(count, (RESAMPLES, count), generator=dice)


def number_pictures(pictures: Sequence[str]) -> Tensor:
    """Return (N,) int64: pictures numbered from 0 on, in order of appearance."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(pictures))}
    return torch.tensor([numbers[name] for name in pictures], dtype=torch.int64)


def count_pictures(rows: Iterable[Keyed], pictures: Pictures | None = None) -> tuple[int, int]:
    """Return how many (sequences, pictures) rows are of."""
    places = {(row.key.set, row.key.sequence) for row in rows}
    return len(places), len({picture_of_sequence(pictures or {}, *place) for place in places})


def picture_of_sequence(pictures: Pictures, name: str, sequence: str) -> str:
    """Return which picture a sequence of the set ``name`` shows."""
    return pictures.get((name, sequence), f"sequence {sequence}")


def summarise(rows: Iterable[Scored], pictures: Pictures | None = None) -> list[Summary]:
    """Return one :class:`Summary` per set, number of frames and method, in order of appearance."""
    groups: dict[tuple[str, int, str], list[Scored]] = {}
    for row in rows:
        groups.setdefault((row.set, row.frames, row.method), []).append(row)
    summaries = []
    for key, group in groups.items():
        shown = [picture_of_sequence(pictures or {}, r.set, r.sequence) for r in group]
        scores = {s: mean_of(column(group, s), shown) for s in scores_of(group)}
        summaries.append(Summary(*key, *count_pictures(group, pictures), scores))
    return summaries


def scores_of(rows: Sequence[Scored]) -> list[str]:
    """Return which :data:`SCORES` all rows have."""
    kinds = {type(row) for row in rows}
    return [s for s in SCORES if kinds and all(s in kind._fields for kind in kinds)]


def column(rows: Sequence[Scored], score: str) -> Tensor:
    """Return a score of rows, (N,) float64."""
    return torch.tensor([getattr(row, score) for row in rows], dtype=torch.float64)
