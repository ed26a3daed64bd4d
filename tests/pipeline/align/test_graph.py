"""The graph of pairs: which are tried, which frame leads, and by which path it is reached."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diar_ops import HomographyEstimate, Matches, PairMatches
from diar_ops.pipeline._align.graph import candidate_pairs, chain_to_reference, choose_reference, is_plausible
from tests.harness import assert_close, generator

EYE = torch.eye(3, dtype=torch.float64)


def poses(count: int) -> Tensor:
    """Random (count, 3, 3) homographies, frame ~ H @ plane."""
    random = generator(f"poses {count}")
    H = EYE + 0.1 * torch.randn(count, 3, 3, generator=random, dtype=torch.float64)
    H[:, 2, :2] *= 0.01
    return H


def relative(index: Tensor, pose: Tensor) -> Tensor:
    """Return frame j ~ H @ frame i for each pair (i, j)."""
    return pose[index[:, 1]] @ torch.linalg.inv(pose[index[:, 0]])


# --- candidates -------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 12])
def test_few_frames_are_all_paired(count: int) -> None:
    expected = [(i, j) for i in range(count) for j in range(i + 1, count)]
    result = candidate_pairs(count)
    assert result.dtype == torch.int64
    assert result.shape == (len(expected), 2)
    assert [tuple(pair) for pair in result.tolist()] == expected


@given(st.integers(13, 400))
def test_many_frames_are_paired_sparsely_but_connected(count: int) -> None:
    result = candidate_pairs(count)
    pairs = {tuple(pair) for pair in result.tolist()}
    assert len(pairs) == len(result) <= 9 * count, "each pair once, linear in the frames"
    assert all(0 <= i < j < count for i, j in pairs)
    assert {(i, i + 1) for i in range(count - 1)} <= pairs, "neighbours always"


# --- chains -----------------------------------------------------------------------------------


@given(st.integers(2, 8), st.randoms(use_true_random=False))
def test_chains_of_exact_pairs_are_exact(count: int, shuffled: object) -> None:
    """Whatever the tree of pairs, and whichever way each pair points."""
    pairs = []
    for t in range(1, count):
        pair = [t, shuffled.randrange(t)]  # type: ignore[attr-defined]
        pairs.append(sorted(pair))
    index, pose = torch.tensor(pairs), poses(count)
    reference = shuffled.randrange(count)  # type: ignore[attr-defined]
    chained = chain_to_reference(index, relative(index, pose), torch.full((count - 1,), 50), count, reference)
    assert sorted(chained) == list(range(count))
    for t, H in chained.items():
        exact = pose[reference] @ torch.linalg.inv(pose[t])
        assert_close(H / H[2, 2], exact / exact[2, 2], rtol=1e-8, atol=1e-8)


def test_a_strong_detour_beats_a_weak_direct_pair() -> None:
    index, pose = torch.tensor([[0, 1], [0, 2], [1, 2]]), poses(3)
    H = relative(index, pose)
    H[1] = torch.diag(torch.tensor([2.0, 2.0, 1.0], dtype=torch.float64))  # weak, and wrong
    weak = chain_to_reference(index, H, torch.tensor([300, 20, 300]), 3, 0)[2]
    exact = pose[0] @ torch.linalg.inv(pose[2])
    assert_close(weak / weak[2, 2], exact / exact[2, 2], rtol=1e-8, atol=1e-8)
    strong = chain_to_reference(index, H, torch.tensor([300, 200, 300]), 3, 0)[2]
    assert_close(strong, torch.linalg.inv(H[1]))


def test_what_no_path_reaches_is_missing() -> None:
    index = torch.tensor([[0, 1], [2, 3]])
    chained = chain_to_reference(index, EYE.expand(2, 3, 3), torch.tensor([50, 50]), 5, 3)
    assert sorted(chained) == [2, 3]
    nothing = torch.zeros(0, 2, dtype=torch.int64)
    alone = chain_to_reference(nothing, EYE.expand(0, 3, 3), nothing[:, 0], 4, 2)
    assert list(alone) == [2]
    assert torch.equal(alone[2], EYE)


# --- the reference ----------------------------------------------------------------------------


def verified(index: list[tuple[int, int]], homography_j_i: Tensor, number: list[int]) -> PairMatches:
    """Pairs with ``number`` verified matches each, on a grid in the middle of frame i."""
    count, most = len(index), max(number)
    grid = torch.linspace(30, 70, most, dtype=torch.float64)
    points0 = torch.stack([grid, grid.flip(0)], dim=-1).expand(count, most, 2)
    lifted = torch.cat([points0, torch.ones(count, most, 1, dtype=torch.float64)], dim=-1)
    mapped = lifted @ homography_j_i.mT
    inliers = torch.arange(most) < torch.tensor(number)[:, None]
    none = torch.zeros(count, dtype=torch.int64)
    matches = Matches(points0, mapped[..., :2] / mapped[..., 2:], inliers.double(), inliers)
    success = torch.tensor(number) > 0
    estimate = HomographyEstimate(homography_j_i, inliers, success, none, none)
    return PairMatches(torch.tensor(index), matches, estimate)


ALL = [(0, 1), (0, 2), (1, 2)]
SIZES = torch.full((3, 2), 100.0, dtype=torch.float64)


def test_the_best_connected_frame_leads() -> None:
    pairs = verified(ALL, EYE.repeat(3, 1, 1), [100, 10, 100])
    assert choose_reference(pairs, torch.ones(3), SIZES) == 1


def test_the_sharpest_of_equals_leads() -> None:
    pairs = verified(ALL, EYE.repeat(3, 1, 1), [50, 50, 50])
    assert choose_reference(pairs, torch.tensor([1.0, 1.0, 1.5]), SIZES) == 2
    assert choose_reference(pairs, torch.ones(3), SIZES) == 0, "the first of true equals"


def test_the_most_frontal_frame_leads() -> None:
    """Frames 0 and 2 look from opposite sides: frame 1 between them bends least."""
    left, right = EYE.clone(), EYE.clone()
    left[2, 0], right[2, 0] = 0.003, -0.0025
    pose = torch.stack([left, EYE, right])
    pairs = verified(ALL, relative(torch.tensor(ALL), pose), [50, 50, 50])
    assert choose_reference(pairs, torch.ones(3), SIZES) == 1


def test_a_frame_that_crops_the_picture_does_not_lead() -> None:
    """Frame 0 is as frontal and twice as sharp, but shows only a part."""
    closer = torch.diag(torch.tensor([4.0, 4.0, 1.0], dtype=torch.float64))
    closer[:2, 2] = -150
    pose = torch.stack([closer, EYE, EYE])
    index = torch.tensor(ALL).flip(1)  # points are laid out in frames 1 and 2
    pairs = verified(index.tolist(), relative(index, pose), [50, 50, 50])
    assert choose_reference(pairs, torch.tensor([2.0, 1.0, 1.0]), SIZES) != 0


def test_only_the_largest_component_may_lead() -> None:
    index = [(0, 1), (2, 3), (3, 4)]
    pairs = verified(index, EYE.repeat(3, 1, 1), [500, 40, 40])
    sizes = torch.full((5, 2), 100.0, dtype=torch.float64)
    assert choose_reference(pairs, torch.tensor([9.0, 9.0, 1.0, 1.0, 1.0]), sizes) == 3


def test_a_pair_without_support_ties_nothing() -> None:
    index, number = torch.tensor([(0, 1), (1, 2), (0, 2)]), torch.tensor([50, 0, 0])
    assert chain_to_reference(index, EYE.expand(3, 3, 3), number, 3, 0).keys() == {0, 1}
    pairs = verified(index.tolist(), EYE.repeat(3, 1, 1), number.tolist())
    pairs = pairs._replace(estimate=pairs.estimate._replace(success=torch.ones(3, dtype=torch.bool)))
    sharpness = torch.tensor([1.0, 1.0, 9.0])
    assert choose_reference(pairs, sharpness, SIZES) in (0, 1)


def test_without_any_pair_some_frame_leads() -> None:
    pairs = verified(ALL, EYE.repeat(3, 1, 1), [0, 0, 0])
    assert choose_reference(pairs, torch.ones(3), SIZES) in range(3)


def test_no_camera_sees_the_horizon_of_a_picture() -> None:
    tilted = torch.eye(3, dtype=torch.float64)
    assert is_plausible(tilted, (200, 300))
    tilted[2, 0] = 2 / 300  # the right side is three times as far
    assert is_plausible(tilted, (200, 300))
    tilted[2, 0] = 9 / 300
    assert not is_plausible(tilted, (200, 300))
    tilted[2, 0] = -2 / 300  # the horizon runs through the middle
    assert not is_plausible(tilted, (200, 300))
