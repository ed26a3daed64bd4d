"""Pairs that contradict the others are refused, and those of contested frames; nothing else is."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from diar_ops import HomographyEstimate, Matches, PairMatches, Reason
from diar_ops.pipeline._align.cycles import refuse_contradicted

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
    pairs = refuse_contradicted(pairs_of(5, {wrong: 50.0}), [SIZE] * 5)
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
        (4, {(0, 1): 50.0, (1, 2): 45.0, (0, 2): -60.0, (0, 3): 90.0, (2, 3): 40.0, (1, 3): -35.0}),
    ],
)
def test_where_nothing_is_known_all_stay(count: int, wrong: dict[tuple[int, int], float]) -> None:
    given = pairs_of(count, wrong)
    assert refuse_contradicted(given, [SIZE] * count) is given


def test_pairs_without_a_cycle_stay() -> None:
    given = pairs_of(2, {})
    assert refuse_contradicted(given, [SIZE] * 2) is given


def refused_of(pairs: PairMatches) -> set[tuple[int, int]]:
    checked = refuse_contradicted(pairs, [SIZE] * (int(pairs.frames.max()) + 1))
    return {tuple(pair) for pair, ok in zip(pairs.frames.tolist(), checked.estimate.success, strict=True) if not ok}


def without(pairs: PairMatches, missing: set[tuple[int, int]]) -> PairMatches:
    kept = torch.tensor([tuple(pair) not in missing for pair in pairs.frames.tolist()])
    return PairMatches(
        pairs.frames[kept],
        Matches(*(field[kept] for field in pairs.matches)),
        HomographyEstimate(*(field[kept] for field in pairs.estimate)),
    )


def test_pairs_that_a_mirrored_window_ties_are_refused_though_they_close() -> None:
    """Frames 1, 2 and 3 are tied to each other by another plane, too little to outweigh the rest."""
    mirrored = {(1, 2): 60.0, (2, 3): 70.0, (1, 3): 130.0}
    assert refused_of(pairs_of(7, mirrored)) == set(mirrored)


def test_a_frame_that_others_want_at_different_places_is_contested() -> None:
    """Frame 0 has one pair each that wants it here, there, and elsewhere."""
    apart = pairs_of(7, {(0, 2): 80.0, (0, 3): -90.0})
    missing = {(0, 4), (0, 5), (0, 6)}
    assert refused_of(without(apart, missing)) == {(0, 1), (0, 2), (0, 3)}
    # With clearly more support for one place, the other pair alone is refused.
    decided = pairs_of(7, {(0, 2): 80.0})
    assert refused_of(without(decided, missing - {(0, 4)})) == {(0, 2)}


def test_frames_of_another_group_are_left_alone() -> None:
    """Two groups that nothing ties: what is known of the one says nothing of the other."""
    across = {(i, j) for i in range(4) for j in range(4, 7)}
    assert refused_of(without(pairs_of(7, {(4, 5): 60.0}), across)) == set()


def test_a_place_does_not_win_the_support_of_those_that_it_is_far_from() -> None:
    """Seen through a place that is tilted away, the others lie near it; seen through theirs, it does not."""
    tilted = torch.tensor([[0.902, 0.1126, -12.53], [-0.3883, 1.1851, 5.85], [-0.00343, 0.00204, 1.0]]).double()
    pairs = pairs_of(6, {})
    row = pairs.frames.tolist().index([1, 5])
    pairs.estimate.homography[row] = shifted(28.0) @ torch.linalg.inv(tilted)
    assert refused_of(pairs) == {(1, 5)}
