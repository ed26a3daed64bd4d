"""Several processes that train one network, as torchrun starts them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor


class Processes(NamedTuple):
    """Rank of this process among those that train together."""

    rank: int = 0
    world_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def broadcast(self, *numbers: float, device: torch.device) -> list[float]:
        """Return the numbers of the first process in all of them."""
        if self.world_size == 1:
            return list(numbers)
        shared = torch.tensor(numbers, dtype=torch.float64, device=device)
        dist.broadcast(shared, src=0)
        return shared.tolist()

    def all_sum(self, value: Tensor) -> Tensor:
        """Return the sum over the processes."""
        if self.world_size == 1:
            return value
        total = value.clone()
        dist.all_reduce(total)
        return total


@contextmanager
def join_processes(device: torch.device) -> Iterator[Processes]:
    """Join the processes that torchrun started beside this one, if it did.

    Args:
        device: Where this process trains: on CUDA they talk by nccl, elsewhere by gloo.

    Yields:
        The rank of this process.
    """
    if dist.is_initialized():
        yield Processes(dist.get_rank(), dist.get_world_size())
        return
    if "WORLD_SIZE" not in os.environ:
        yield Processes()
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
