"""Processes share the items of a step between them."""

from __future__ import annotations

import pytest

from diar_ops import OptionError
from diar_ops.training.sampler import StepSampler


def test_processes_share_a_batch() -> None:
    parts = [next(iter(StepSampler(5, 6, rank=rank, world_size=3))) for rank in range(3)]
    assert parts == [[(5, 0), (5, 3)], [(5, 1), (5, 4)], [(5, 2), (5, 5)]]
    with pytest.raises(OptionError, match="4 processes can share"):
        StepSampler(0, 6, world_size=4)
