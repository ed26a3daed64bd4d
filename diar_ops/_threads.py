"""Work of many items side by side, a core for each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_threads(
    function: Callable[[Item], Result], items: Iterable[Item], device: torch.device | str = "cpu"
) -> Iterator[Result]:
    """Yield ``function`` of each item, in order, computed side by side on the cores that torch may use.

    The operations of a photo are many and small: shared among threads, each waits for the slowest. A
    photo a thread keeps all cores busy, as long as its operations are of torch, OpenCV or NumPy,
    which let go of the interpreter. Each thread computes by itself alone, so that results do not
    depend on the number of cores. Inside of ``function``, and on other devices, which compute by
    themselves, items go one after the other. So they do under a mode of torch, which is a thread's own.

    Args:
        function: Keeps what it changes to itself.
        items: Taken when they are needed; as many results as there are cores wait to be asked for.
        device: Where the function computes.

    Yields:
        The results. What an item raises is raised in its place; what has not begun then never does.
    """
    items = iter(items)
    workers = torch.get_num_threads()
    if workers == 1 or torch.device(device).type != "cpu" or _has_modes():
        yield from map(function, items)
        return
    grad, inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()

    def call(item: Item) -> Result:
        with torch.inference_mode(inference), torch.set_grad_enabled(grad):
            return function(item)

    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(workers, "diar_ops", initializer=torch.set_num_threads, initargs=(1,))
    try:
        for item in islice(items, workers):
            waiting.append(pool.submit(call, item))
        while waiting:
            result = waiting.popleft().result()
            for item in islice(items, 1):
                waiting.append(pool.submit(call, item))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(workers)


def _has_modes() -> bool:
    """Return whether a mode watches or changes what torch does in this thread."""
    return bool(torch._C._len_torch_dispatch_stack() or torch._C._len_torch_function_stack())


def work_size(elements: int) -> int:
    """Return how many elements to work on at a time on a CPU.

    As many as stay in the cache of one thread; several, which wait for each other after every
    op, get four times as many.
    """
    return elements if torch.get_num_threads() == 1 else 4 * elements
