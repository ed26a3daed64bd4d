"""The claims, and what the differences between networks say about them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.quality.intervals import RESAMPLES, Mean, number_pictures
from benchmarks.quality.rows import Pictures, Row, group_by, picture_of
from diar_ops._seeds import generator_for


class Claim(NamedTuple):
    """One network is better than another.

    Attributes:
        name: Of the claim.
        better: The network that is said to be better.
        than: The other one.
        confidence: Of the interval: higher where several claims are looked at together.
    """

    name: str
    better: str
    than: str
    confidence: float = 0.95


CLAIMS = (
    Claim("attention", "softmax-all", "deep-residual-sets"),
    Claim("weights", "softmax-all", "embedded-mean"),
    Claim("attended mean", "embedded-mean", "deep-residual-sets"),
    Claim("window 5, 2", "softmax-5", "softmax-2", 0.983),
    Claim("window all, 5", "softmax-all", "softmax-5", 0.983),
    Claim("window all, 2", "softmax-all", "softmax-2", 0.983),
)
#: Differences within this are as good as none.
EQUAL = {"psnr": 0.2, "psnr_gain": 0.2, "ssim": 0.005}


@dataclass(frozen=True)
class Differences:
    """Paired differences between two networks.

    Attributes:
        values: (seeds, sequences) float64.
        pictures: Which picture each sequence shows.
    """

    values: Tensor
    pictures: tuple[str, ...]

    def minus(self, other: Differences) -> Differences:
        """Return the differences of differences on the same sequences."""
        assert self.pictures == other.pictures
        return Differences(self.values - other.values, self.pictures)


def network_differences(
    rows: Iterable[Row], better: str, than: str, score: str, pictures: Pictures | None = None
) -> Differences:
    """Return the differences of a score between two networks, by seed and sequence.

    Args:
        rows: Results of one set at one number of frames; of both networks for the same seeds on
            the same sequences.
        better: The network from whose scores
        than: those of the other are taken.
        score: The score. Sequences for which it is NaN are left out.
        pictures: Which picture each sequence shows.
    """
    by_network = group_by(rows, lambda row: row.method.rpartition("-")[0])
    tables = [_table(by_network[name], score) for name in (better, than)]
    values = tables[0] - tables[1]
    known = values.isfinite().all(0)
    first = group_by(by_network[better], lambda row: row.sequence)
    shown = [picture_of(group[0], pictures) for _, group in sorted(first.items())]
    return Differences(values[:, known], tuple(name for name, kept in zip(shown, known.tolist(), strict=True) if kept))


def _table(rows: Sequence[Row], score: str) -> Tensor:
    """Return (seeds, sequences) of a score of one network."""
    by_seed = group_by(sorted(rows, key=lambda r: (r.method, r.sequence)), lambda row: row.method)
    return torch.tensor([[row.values[score] for row in group] for group in by_seed.values()], dtype=torch.float64)


def mean_difference(differences: Differences, confidence: float = 0.95) -> Mean:
    """Return the mean difference and its interval, by a bootstrap over pictures and seeds at once.

    Pictures are drawn with all their sequences, seeds for both networks alike; a single picture
    or none has no interval.
    """
    values, number = differences.values, number_pictures(differences.pictures)
    nothing = float("nan")
    if not values.numel():
        return Mean(nothing, nothing, nothing)
    seeds, count = len(values), int(number.max()) + 1
    if count == 1:
        return Mean(float(values.mean()), nothing, nothing)
    sums = values.new_zeros(seeds, count).index_add(1, number, values)
    sizes = number.bincount(minlength=count).double()
    generator = generator_for("paper order", count, seeds)
    drawn_pictures = torch.randint(count, (RESAMPLES, count), generator=generator)
    drawn_seeds = torch.randint(seeds, (RESAMPLES, seeds), generator=generator)
    # How often each is drawn, so that all resamplings are one product.
    picture_counts = _count_draws(drawn_pictures, count)
    seed_counts = _count_draws(drawn_seeds, seeds)
    totals = torch.einsum("rs,sp,rp->r", seed_counts, sums, picture_counts)
    resampled = totals / (seeds * (picture_counts @ sizes))
    tail = (1 - confidence) / 2
    low, high = resampled.quantile(resampled.new_tensor([tail, 1 - tail])).tolist()
    return Mean(float(values.mean()), low, high)


def _count_draws(drawn: Tensor, count: int) -> Tensor:
    """Return (R, count) float64: how often each of ``count`` things is among (R, N) indices."""
    return torch.zeros(len(drawn), count, dtype=torch.float64).scatter_add(
        1, drawn, torch.ones(drawn.shape, dtype=torch.float64)
    )


def verdict(differences: Differences, mean: Mean, equal: float | None = None) -> str:
    """Return what an interval says of a claim: "shown", "refuted", "equal", some of them, or "open".

    Args:
        differences: On which it rests: the mean of every seed has to agree.
        mean: Of :func:`mean_difference`.
        equal: Differences within this are as good as none; ``None`` never calls them equal.
    """
    by_seed = differences.values.mean(1)
    words = []
    if mean.low > 0 and bool((by_seed > 0).all()):
        words.append("shown")
    if mean.high < 0 and bool((by_seed < 0).all()):
        words.append("refuted")
    if equal is not None and -equal <= mean.low and mean.high <= equal:
        words.append("equal")
    return ", ".join(words) or "open"
