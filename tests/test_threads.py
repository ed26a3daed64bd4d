"""Side by side: in order, as if alone, whatever happens in between."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch
from torch.overrides import TorchFunctionMode

from diar_ops._threads import map_threads

THREADS = 3


@pytest.fixture(autouse=True)
def _several_cores() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)


def test_results_come_in_order_from_several_threads() -> None:
    meet = threading.Barrier(THREADS)  # passed only by so many at the same time

    def work(item: int) -> tuple[int, int, bool]:
        meet.wait(timeout=60)
        return item, torch.get_num_threads(), threading.current_thread() is threading.main_thread()

    assert list(map_threads(work, range(2 * THREADS))) == [(item, 1, False) for item in range(2 * THREADS)]
    assert torch.get_num_threads() == THREADS


@pytest.mark.parametrize("threads", [1, THREADS])
def test_a_function_sees_the_modes_of_its_caller(threads: int) -> None:
    torch.set_num_threads(threads)
    x = torch.ones(2, requires_grad=True)
    with torch.no_grad():
        assert not any(map_threads(lambda _: (2 * x).requires_grad, range(4)))
    assert all(map_threads(lambda _: (2 * x).requires_grad, range(4)))
    with torch.inference_mode():
        assert all(map_threads(lambda _: (x + 1).is_inference(), range(4)))


def test_under_a_mode_of_torch_all_stays_in_its_thread() -> None:
    class Mode(TorchFunctionMode):
        seen = 0  # in its own thread; others do not have it

        def __torch_function__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            self.seen += 1
            return function(*args, **(kwargs or {}))

    items = [torch.ones(1)] * 5
    with Mode() as mode:
        list(map_threads(torch.Tensor.exp, items))
    assert mode.seen >= len(items)


def test_within_an_item_the_rest_goes_one_by_one() -> None:
    def outer(_: int) -> set[int]:
        return set(map_threads(lambda _: threading.get_ident(), range(8)))

    assert all(len(threads) == 1 for threads in map_threads(outer, range(4)))


def test_an_error_comes_in_its_place_and_ends_the_work() -> None:
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        if item == 2:
            raise ValueError("two")
        return item

    results = map_threads(work, iter(range(1000)))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(results)
    assert len(begun) <= 2 + 1 + THREADS
    assert torch.get_num_threads() == THREADS


def test_items_are_taken_when_they_are_needed() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(1000):
            taken.append(item)
            yield item

    results = map_threads(lambda item: item, items())
    next(results)
    results.close()
    assert len(taken) <= 1 + THREADS
    assert torch.get_num_threads() == THREADS
