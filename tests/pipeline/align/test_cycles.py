"""Cycles over three frames: the pair that opens them is refused, and nothing else."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from diar_ops import HomographyEstimate, Matches, PairMatches, Reason
from diar_ops.pipeline._align.cycles import refuse_open_cycles

SIZE = (200, 240)


def shifted(x: float) -> Tensor:
    H = torch.eye(3, dtype=torch.float64)
    H[0, 2] = x
    return H


def pairs_of(count: int, wrong: dict[tuple[int, int], float]) -> PairMatches:
    """All pairs of frames that are moved by 7 px each; ``wrong`` ones by so many more."""
    frames = list(itertools.combinations(range(count), 2))
    H = torch.stack([shifted(7.0 * (j - i) + wrong.get((i, j), 0.0)) for i, j in frames])
    points, yes = torch.zeros(len(frames), 9, 2), torch.ones(len(frames), 9, dtype=torch.bool)
    good = torch.ones(len(frames), dtype=torch.bool)
    estimate = HomographyEstimate(H, yes, good, torch.zeros(len(frames), dtype=torch.int64), torch.ones(len(frames)))
    return PairMatches(torch.tensor(frames), Matches(points, points, torch.ones(len(frames), 9), yes), estimate)


@pytest.mark.parametrize("wrong", [(0, 1), (1, 3), (2, 4)])
def test_a_pair_that_is_off_by_a_window_is_refused(wrong: tuple[int, int]) -> None:
    pairs = refuse_open_cycles(pairs_of(5, {wrong: 50.0}), [SIZE] * 5)
    refused = [tuple(pair) for pair, ok in zip(pairs.frames.tolist(), pairs.estimate.success, strict=True) if not ok]
    assert refused == [wrong]
    row = pairs.frames.tolist().index(list(wrong))
    assert pairs.estimate.reason[row] == Reason.AMBIGUOUS
    assert torch.equal(pairs.estimate.homography[row], torch.eye(3, dtype=torch.float64))
    assert not pairs.estimate.inliers[row].any()


@pytest.mark.parametrize(
    ("count", "wrong"),
    [
        (5, {}),
        (5, {(0, 1): 8.0}),  # inexact, as matched cells are
        (3, {(0, 1): 50.0}),  # one of three, but which?
        (4, {(0, 1): 50.0, (1, 2): 45.0, (0, 2): -60.0, (0, 3): 90.0, (2, 3): 40.0, (1, 3): -55.0}),
    ],
)
def test_where_nothing_is_known_all_stay(count: int, wrong: dict[tuple[int, int], float]) -> None:
    given = pairs_of(count, wrong)
    assert refuse_open_cycles(given, [SIZE] * count) is given


def test_pairs_without_a_cycle_stay() -> None:
    given = pairs_of(2, {})
    assert refuse_open_cycles(given, [SIZE] * 2) is given
