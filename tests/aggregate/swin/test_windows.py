"""How maps are cut into windows."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from diar_ops.aggregate._swin.windows import cut_axis, cut_map, to_windows
from tests.aggregate.textbook_swin import window_number


@given(st.integers(1, 40), st.one_of(st.none(), st.integers(1, 12)), st.booleans())
def test_an_axis_is_cut_as_swin_numbers_it(size: int, window: int | None, shift: bool) -> None:
    numbers: list[int] = []
    for run in cut_axis(size, window, shift):
        assert run.start == len(numbers)
        for _ in range(run.windows):
            numbers += [len(set(numbers))] * run.length
        assert run.stop == len(numbers)
    expected = window_number(size, window, shift)
    assert numbers == [sorted(set(expected)).index(n) for n in expected]


@given(st.tuples(*[st.integers(1, 7)] * 3), st.tuples(*[st.integers(1, 4)] * 3), st.booleans())
def test_windows_hold_every_place_once(size: tuple[int, int, int], window: tuple[int, int, int], shift: bool) -> None:
    places = torch.cartesian_prod(*map(torch.arange, size)).view(1, *size, 3)
    result = []
    for plane in cut_map(size, window, shift):
        for strip in plane:
            for region in strip:
                windows = to_windows(places, region)
                assert windows.shape[4:7] == region.size
                spread = windows.flatten(4, 6).amax(-2) - windows.flatten(4, 6).amin(-2)
                assert (spread < torch.tensor(window)).all()
                result += windows.reshape(-1, 3).tolist()
    assert sorted(result) == places.view(-1, 3).tolist()
