"""Several processes that train one network, as torchrun starts them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["Heard", "Processes", "heard_signals", "joined_processes", "leave_signals"]


class Processes(NamedTuple):
    """Which process this is, of how many."""

    rank: int = 0
    number: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def agree(self, *numbers: float, device: torch.device) -> list[float]:
        """Return the numbers of the first process in all of them."""
        if self.number == 1:
            return list(numbers)
        shared = torch.tensor(numbers, dtype=torch.float64, device=device)
        dist.broadcast(shared, src=0)
        return shared.tolist()

    def total(self, value: Tensor) -> Tensor:
        """Return the sum over the processes."""
        if self.number == 1:
            return value
        total = value.clone()
        dist.all_reduce(total)
        return total


@contextmanager
def joined_processes(device: torch.device) -> Iterator[Processes]:
    """Join the processes that torchrun started beside this one, if it did.

    Args:
        device: Where this process trains: on CUDA they talk by nccl, elsewhere by gloo.

    Yields:
        Which process this is.
    """
    if "WORLD_SIZE" not in os.environ or dist.is_initialized():
        alone = not dist.is_initialized()
        yield Processes() if alone else Processes(dist.get_rank(), dist.get_world_size())
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(dist.get_rank(), dist.get_world_size())
        # One that ends while another is still at work may abort in gloo's threads.
        dist.barrier()
    finally:
        dist.destroy_process_group()


class Heard:
    """Whether a signal to stop has come."""

    any = False


@contextmanager
def heard_signals() -> Iterator[Heard]:
    """Note SIGINT and SIGTERM instead of dying; the second one is not waited for."""
    heard = Heard()
    if threading.current_thread() is not threading.main_thread():
        yield heard
        return

    def hear(number: int, frame: object) -> None:
        if heard.any:
            raise KeyboardInterrupt
        heard.any = True

    earlier = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield heard
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def leave_signals(index: int) -> None:
    """Leave Ctrl-C to the main process, which ends its workers itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
