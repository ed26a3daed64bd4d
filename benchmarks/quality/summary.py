"""Means over sequences and how sure they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.quality.rows import Keyed, Pictures, Scored
from benchmarks.quality.scores import LOWER_IS_BETTER, SCORES
from diar_ops._seeds import generator_for

__all__ = [
    "AGAINST",
    "Comparison",
    "Difference",
    "Mean",
    "Summary",
    "column",
    "compare_alignments",
    "compare_methods",
    "count_pictures",
    "mean_of",
    "number_pictures",
    "picture_of_sequence",
    "resamples",
    "rival",
    "scores_of",
    "summarise",
    "with_interval",
]

#: Resamplings behind an interval.
RESAMPLES = 4000


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


#: What methods are compared with by default.
AGAINST = "diar"


class Difference(NamedTuple):
    """How far a score is from that of the other, sequence by sequence.

    Attributes:
        mean: Mean difference, this one minus the other.
        better: On how many sequences this one is better.
    """

    mean: Mean
    better: int


class Comparison(NamedTuple):
    """A method beside another, on the sequences that both have been scored on.

    Attributes:
        against: The other.
        sequences: How many they share.
        pictures: How many different pictures these show.
        scores: By name, see :data:`SCORES`.
    """

    set: str
    frames: int
    method: str
    against: str
    sequences: int
    pictures: int
    scores: dict[str, Difference]


def compare_methods(
    rows: Iterable[Scored], pictures: Pictures | None = None, against: str | None = None
) -> list[Comparison]:
    """Compare each method with one, and that one with the best of the others.

    Per set and number of frames, in order of appearance.

    Args:
        rows: Results.
        pictures: What sequences show.
        against: The one; where it has no results, every method is compared with the best of the
            others: the one with the highest mean PSNR on the sequences that both have.
            None: :data:`AGAINST`.
    """
    groups: dict[tuple[str, int], dict[str, dict[str, Scored]]] = {}
    for row in rows:
        methods = groups.setdefault((row.set, row.frames), {})
        methods.setdefault(row.method, {})[row.sequence] = row
    found = []
    for methods in groups.values():
        for method, of in methods.items():
            other = rival(method, list(methods), against or AGAINST) or _best(methods, method)
            pairs = [(of[s], methods[other][s]) for s in of if other and s in methods[other]]
            if other and pairs:
                found.append(_compare(pairs, other, pictures or {}))
    return found


def rival(method: str, methods: Sequence[str], against: str) -> str | None:
    """Return ``against`` where it is another one of the methods; None: the best of the others."""
    return against if against in methods and against != method else None


def compare_alignments(
    exact: Iterable[Scored], own: Iterable[Scored], pictures: Pictures | None = None
) -> list[Comparison]:
    """Return what each method loses on self-aligned frames, against its own result on exact ones.

    Args:
        exact: Results on frames that are laid over the label by their exact homographies.
        own: Results on frames that the pipeline aligned itself.
        pictures: What sequences show.
    """
    of = {row.key: row for row in exact}
    groups: dict[tuple[str, int, str], list[tuple[Scored, Scored]]] = {}
    for row in own:
        if row.key in of:
            key = (row.set, row.frames, row.method)
            groups.setdefault(key, []).append((row, of[row.key]))
    return [_compare(pairs, "exact", pictures or {}) for pairs in groups.values()]


def _best(methods: dict[str, dict[str, Scored]], method: str) -> str | None:
    """Return the other method with the highest mean PSNR on the sequences that both have."""
    means = {}
    for other, of in methods.items():
        shared = [of[s] for s in methods[method] if s in of]
        if other != method and shared:
            means[other] = float(column(shared, "psnr").mean())
    return max(means, key=means.__getitem__) if means else None


def _compare(
    pairs: Sequence[tuple[Scored, Scored]], against: str, pictures: Pictures
) -> Comparison:
    ours, theirs = ([pair[i] for pair in pairs] for i in (0, 1))
    shown = [picture_of_sequence(pictures, row.set, row.sequence) for row in ours]
    scores = {}
    for score in scores_of([*ours, *theirs]):
        difference = column(ours, score) - column(theirs, score)
        # Both infinite: equal pictures.
        difference = difference.masked_fill(column(ours, score) == column(theirs, score), 0)
        won = difference < 0 if score in LOWER_IS_BETTER else difference > 0
        scores[score] = Difference(mean_of(difference, shown), int(won.sum()))
    row = ours[0]
    return Comparison(row.set, row.frames, row.method, against, len(ours), len(set(shown)), scores)
