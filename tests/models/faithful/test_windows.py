"""A part of the picture is restored as in the whole."""

from __future__ import annotations

import pytest
import torch

from diar_ops.models import compensate
from diar_ops.models.faithful.light import whole_view
from tests.harness import assert_close
from tests.models.faithful.small import NAN, known, network
from tests.models.restorers import sequence


@pytest.mark.parametrize("box", [(0, 0, 16, 24), (8, 16, 24, 40), (3, 5, 14, 22)])
def test_a_part_is_in_the_light_of_the_whole(box: tuple[int, int, int, int]) -> None:
    frames, valid = known(*sequence("part", 2, 3, 24, 40))
    whole = whole_view(frames, valid)
    built = network()
    top, left, bottom, right = box
    cut = (..., slice(top, bottom), slice(left, right))
    edges = torch.tensor([box]).double() / torch.tensor([24, 40, 24, 40])
    edges = edges.expand(2, 4)
    expected = built(frames, valid)
    restored = built(frames[cut], valid[cut], whole=whole._replace(window=edges))
    assert torch.equal(restored.gain, expected.gain)
    assert torch.equal(restored.veil, expected.veil)
    lit = compensate(frames[cut], restored.gain, restored.veil, edges)
    assert_close(lit, compensate(frames, expected.gain, expected.veil)[cut])


@pytest.mark.parametrize("side", [192, 188])
def test_a_part_is_worked_on_as_in_the_whole_but_for_its_rim(side: int) -> None:
    """From 64 pixels off its edges, two stages of windows of 16 pixels see nothing of them."""
    frames, valid = known(*sequence("rim", 1, 2, side, side))
    built = network()
    with torch.no_grad():
        expected = built(frames, valid)
        edges = torch.tensor([[32, 32, side, side]]).double() / side
        part = (..., slice(32, None), slice(32, None))
        whole = whole_view(frames, valid)._replace(window=edges)
        restored = built(frames[part], valid[part], whole=whole)
    assert_close(restored.image[..., 64:, 64:], expected.image[..., 96:, 96:])
    assert_close(restored.weights[..., 64:, 64:], expected.weights[..., 96:, 96:])


@pytest.mark.parametrize("filler", [1e30, NAN])
def test_small_copies_may_hold_anything_where_they_are_not_valid(filler: float) -> None:
    frames, valid = known(*sequence("copies", 1, 2, 70, 66))
    whole = whole_view(frames, valid)
    assert not whole.valid.all()
    spoiled = whole.frames.masked_fill(~whole.valid.expand_as(whole.frames), filler)
    built = network()
    for one, other in zip(
        built(frames, valid, whole=whole._replace(frames=spoiled)), built(frames, valid, whole=whole), strict=True
    ):
        assert torch.equal(one, other)
