"""Differences, their intervals, and what they say."""

from __future__ import annotations

import math

import pytest
import torch

from benchmarks.quality.intervals import Mean
from benchmarks.quality.paper_order.claims import CLAIMS, Differences, mean_difference, network_differences, verdict
from benchmarks.quality.paper_order.plan import NETWORKS
from benchmarks.quality.rows import Row
from tests.harness import generator

PICTURES = {("set", str(i)): f"picture {i // 2}" for i in range(4)}


def rows(**shift: float) -> list[Row]:
    """Scores that are the sum of a network's, a seed's and a sequence's."""
    return [
        Row("set", str(i), 10, f"{name}-{seed}", {"psnr": 20 + offset + seed * 0.1 + i})
        for i in range(4)
        for name, offset in shift.items()
        for seed in range(3)
    ]


def differences(values: torch.Tensor, pictures: int = 19) -> Differences:
    return Differences(values.double(), tuple(f"{i % pictures}" for i in range(values.shape[1])))


def test_claims_are_of_networks_that_are_trained() -> None:
    assert {c.better for c in CLAIMS} | {c.than for c in CLAIMS} == set(NETWORKS)


def test_what_seeds_and_sequences_share_cancels() -> None:
    found = network_differences(rows(a=0.5, b=0.2), "a", "b", "psnr", PICTURES)
    assert found.values.shape == (3, 4)
    assert found.pictures == ("picture 0", "picture 0", "picture 1", "picture 1")
    assert mean_difference(found) == pytest.approx((0.3, 0.3, 0.3), abs=1e-9)


def test_sequences_without_a_score_are_left_out() -> None:
    scored = rows(a=0.5, b=0.2)
    for row in scored:
        if row.sequence == "1":
            row.values["psnr"] = math.nan
    found = network_differences(scored, "a", "b", "psnr", PICTURES)
    assert found.values.shape == (3, 3)
    assert found.pictures == ("picture 0", "picture 1", "picture 1")


def test_nothing_and_a_single_picture_have_no_interval() -> None:
    assert all(math.isnan(x) for x in mean_difference(Differences(torch.empty(3, 0, dtype=torch.float64), ())))
    mean = mean_difference(differences(torch.ones(3, 4), pictures=1))
    assert mean.mean == 1
    assert math.isnan(mean.low)


def test_the_interval_is_as_wide_as_pictures_and_seeds_make_it() -> None:
    dice = generator("paper order pictures")
    pictures = torch.randn(1, 40, generator=dice).expand(3, 40)
    narrow = mean_difference(differences(pictures, 40))
    # The standard error of a mean, 1.96 times to each side.
    error = float(pictures[0].std(correction=0)) / math.sqrt(40)
    assert narrow.high - narrow.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    # Of few pictures it is wider, and so it is where seeds differ, and at a higher confidence.
    few = mean_difference(differences(pictures, 5))
    seeds = mean_difference(differences(pictures + torch.tensor([[-1.0], [0.0], [1.0]]), 40))
    sure = mean_difference(differences(pictures, 40), 0.99)
    for wide in (seeds, sure):
        assert wide.high - wide.low > 1.1 * (narrow.high - narrow.low)
    assert few != narrow


@pytest.mark.parametrize(
    ("mean", "seeds", "said"),
    [
        ((0.5, 0.3, 0.7), (0.4, 0.5, 0.6), "shown"),
        ((0.5, 0.3, 0.7), (-0.1, 0.8, 0.8), "open"),
        ((-0.5, -0.7, -0.3), (-0.4, -0.5, -0.6), "refuted"),
        ((-0.5, -0.7, -0.3), (-0.4, 0.0, -1.1), "open"),
        ((0.1, -0.1, 0.2), (0.1, 0.1, 0.1), "equal"),
        ((0.1, 0.05, 0.15), (0.1, 0.1, 0.1), "shown, equal"),
        ((0.1, -0.1, 0.3), (0.1, 0.1, 0.1), "open"),
        ((0.1, math.nan, math.nan), (0.1, 0.1, 0.1), "open"),
    ],
)
def test_verdicts(mean: tuple[float, float, float], seeds: tuple[float, ...], said: str) -> None:
    assert verdict(differences(torch.tensor(seeds)[:, None]), Mean(*mean), 0.2) == said


def test_differences_of_differences() -> None:
    one, other = differences(torch.full((3, 4), 2.0)), differences(torch.full((3, 4), 0.5))
    assert mean_difference(one.minus(other)).mean == 1.5
