"""Means over sequences, how sure they are, and who leads by how much."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops.data.seeds import generator_for
from diar_ops.evaluation.rows import Row
from diar_ops.evaluation.scores import SCORES

__all__ = ["Lead", "Mean", "Summary", "find_leads", "mean_of", "resamples", "summarise"]

#: Resamplings behind an interval.
RESAMPLES = 4000


class Mean(NamedTuple):
    """A mean and the ends of its 95 % interval, by bootstrap over sequences (percentiles).

    A single sequence says nothing about others: the ends are NaN.
    """

    mean: float
    low: float
    high: float


class Summary(NamedTuple):
    """What a method reaches on a set with the first ``frames`` frames.

    Attributes:
        scores: By name, see :data:`SCORES`.
    """

    set: str
    frames: int
    method: str
    sequences: int
    scores: dict[str, Mean]


class Lead(NamedTuple):
    """How far a method is ahead of the best of its rivals, sequence by sequence.

    Attributes:
        rival: The one with the highest mean PSNR on these sequences.
        scores: Mean difference method - rival, by name.
    """

    set: str
    frames: int
    method: str
    rival: str
    sequences: int
    scores: dict[str, Mean]


def mean_of(values: Tensor) -> Mean:
    """Return the mean of (N,) values and its interval; N at least 1."""
    values = values.double()
    if len(values) == 1:
        return Mean(float(values), float("nan"), float("nan"))
    means = values[resamples(len(values))].mean(dim=1)
    # "nearest" reads values as they are: what is between infinite ones would be NaN.
    ends = means.quantile(means.new_tensor([0.025, 0.975]), interpolation="nearest")
    return Mean(float(values.mean()), float(ends[0]), float(ends[1]))


@lru_cache(maxsize=8)
def resamples(count: int) -> Tensor:
    """Return (RESAMPLES, count) indices of the bootstrap: sequences drawn with replacement."""
    dice = generator_for("bootstrap", count)
    return torch.randint(count, (RESAMPLES, count), generator=dice)


def summarise(rows: Iterable[Row]) -> list[Summary]:
    """Return one :class:`Summary` per set, number of frames and method, in order of appearance."""
    groups: dict[tuple[str, int, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.set, row.frames, row.method), []).append(row)
    return [
        Summary(*key, len(group), {s: mean_of(_column(group, s)) for s in SCORES})
        for key, group in groups.items()
    ]


def find_leads(rows: Sequence[Row], methods: Sequence[str], rivals: Sequence[str]) -> list[Lead]:
    """Return the lead of each method over the best rival, per set and number of frames.

    Sequences count that the method and all rivals have been scored on.
    """
    table: dict[tuple[str, int], dict[str, dict[str, Row]]] = {}
    for row in rows:
        table.setdefault((row.set, row.frames), {}).setdefault(row.method, {})[row.sequence] = row
    leads = []
    for (name, frames), by_method in table.items():
        there = [rival for rival in rivals if rival in by_method]
        for method in methods:
            if method not in by_method or not there:
                continue
            shared = set.intersection(*(set(by_method[m]) for m in (method, *there)))
            if not shared:
                continue
            kept = {m: [by_method[m][s] for s in sorted(shared)] for m in (method, *there)}
            rival = max(there, key=lambda m: float(_column(kept[m], "psnr").mean()))
            scores = {
                s: mean_of(_column(kept[method], s) - _column(kept[rival], s)) for s in SCORES
            }
            leads.append(Lead(name, frames, method, rival, len(shared), scores))
    return leads


def _column(rows: Sequence[Row], score: str) -> Tensor:
    return torch.tensor([getattr(row, score) for row in rows], dtype=torch.float64)
