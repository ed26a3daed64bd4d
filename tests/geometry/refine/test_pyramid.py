"""Images that are prepared once for many pairs, also by threads that ask at the same time."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from diar_ops import refine_homography
from diar_ops.geometry._refine.pyramid import MaskedLevel, Pyramid, count_levels
from diar_ops.geometry.refine import refine_pyramids, refinement_pyramid
from tests.geometry import refine_scene
from tests.harness import generator


def pyramid(side: int = 96) -> Pyramid:
    return refinement_pyramid(torch.rand(1, 3, side, side, generator=generator("pyramid")), None)


def test_threads_that_ask_at_the_same_time_get_the_same_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    half = MaskedLevel.half

    def slow_half(level: MaskedLevel) -> MaskedLevel:
        time.sleep(0.05)  # so that all threads are in it at once
        return half(level)

    expected = [pyramid()[level].image for level in range(3)]
    monkeypatch.setattr(MaskedLevel, "half", slow_half)
    shared = pyramid()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda level: shared[level].image, [1, 2, 1, 2, 2, 1, 2, 1]))
    assert [image.shape[-1] for image in found] == [48, 24, 48, 24, 24, 48, 24, 48]
    assert torch.equal(shared[2].image, expected[2])
    assert torch.equal(shared[1].image, expected[1])


def test_levels_and_features_are_made_once() -> None:
    shared = pyramid()
    assert shared[1] is shared[1]
    assert shared.features(1) is shared.features(1)


@pytest.mark.parametrize(("side", "levels"), [(95, 1), (96, 2), (191, 2), (192, 3)])
def test_levels_end_where_the_next_one_would_be_too_small(side: int, levels: int) -> None:
    assert count_levels(pyramid(side), pyramid(side)) == levels


def test_prepared_images_serve_many_pairs_as_images_do() -> None:
    source, destination, truth = refine_scene.pair("prepared")
    prepared, over = refinement_pyramid(source, None), refinement_pyramid(destination, None)
    expected = refine_homography(source, destination, truth)
    for levels in (2, None):
        refine_pyramids(prepared, over, torch.eye(3, dtype=torch.float64)[None], levels, 3)
    found = refine_pyramids(prepared, over, truth, None, 20)
    assert torch.equal(found.homography, expected.homography)
    assert all(torch.equal(a, b) for a, b in zip(found.matches, expected.matches, strict=True))
