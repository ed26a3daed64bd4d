"""Which pairs of a sequence are matched: few where they agree, all that may help where they do not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from diar_ops import Matches, PairMatches
from diar_ops.pipeline import match_pairs
from diar_ops.pipeline._align.graph import neighbour_pairs
from tests.harness import generator

SIZE = 96


class Scene:
    """Photos that are moved against each other; a matcher that knows how, and counts what it is asked.

    Args:
        count: Number of photos.
        foreign: Those that match none.
        liars: Pairs whose matches are off by half a photo.
    """

    def __init__(self, count: int, foreign: tuple[int, ...] = (), liars: tuple[tuple[int, int], ...] = ()) -> None:
        # Their brightness tells them apart.
        self.photos = [torch.full((3, SIZE, SIZE), (t + 1) / 50, dtype=torch.float32) for t in range(count)]
        self.shift = 10 * torch.rand(count, 2, generator=generator("pairs"))
        self.foreign, self.liars = foreign, liars
        self.asked: set[tuple[int, int]] = set()

    def __call__(self, image0: Tensor, image1: Tensor) -> Matches:
        i, j = (round(float(image.max()) * 50) - 1 for image in (image0, image1))
        self.asked.add((min(i, j), max(i, j)))
        points = torch.rand(1, 150, 2, generator=generator("points")) * SIZE / 2
        moved = points + (self.shift[j] - self.shift[i]) * image0.shape[-1] / SIZE
        if (min(i, j), max(i, j)) in self.liars:
            moved = moved + SIZE / 2
        valid = torch.full((1, 150), not {i, j} & set(self.foreign))
        return Matches(points, moved, torch.ones(1, 150, dtype=torch.float32), valid)

    def match(self) -> PairMatches:
        return match_pairs(self.photos, matcher=self)


@pytest.mark.parametrize("count", [8, 10, 30])
def test_each_photo_is_matched_with_its_neighbours_and_one_hub(count: int) -> None:
    scene = Scene(count)
    pairs = scene.match()
    assert pairs.estimate.success.all()
    assert {tuple(pair) for pair in neighbour_pairs(count).tolist()} <= scene.asked
    assert len(scene.asked) == 3 * count - 5, "the hub has four neighbours"
    assert len(pairs.frames) == len(scene.asked), "each pair once"


@pytest.mark.parametrize("count", [2, 5, 6])
def test_few_photos_are_matched_in_all_pairs(count: int) -> None:
    scene = Scene(count)
    assert scene.match().estimate.success.all()
    assert len(scene.asked) == count * (count - 1) / 2


def test_a_photo_that_fits_no_neighbour_is_matched_with_all() -> None:
    scene = Scene(10, foreign=(3,))
    pairs = scene.match()
    assert {(min(t, 3), max(t, 3)) for t in range(10) if t != 3} <= scene.asked
    assert len(scene.asked) < 45, "others are not"
    assert not pairs.estimate.success[(pairs.frames == 3).any(1)].any()


def test_pairs_that_contradict_each_other_have_all_matched() -> None:
    scene = Scene(10, liars=((4, 5),))
    scene.match()
    assert len(scene.asked) == 45


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 13])
def test_neighbours_are_the_next_two_and_each_pair_is_there_once(count: int) -> None:
    pairs = neighbour_pairs(count)
    assert pairs.dtype == torch.int64
    assert pairs.shape == (min(2 * count, count * (count - 1) // 2), 2)
    assert (pairs[:, 0] < pairs[:, 1]).all()
    assert len({tuple(pair) for pair in pairs.tolist()}) == len(pairs)
