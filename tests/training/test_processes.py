"""Several processes that share a batch learn what one process learns."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import torch
from torch.multiprocessing.spawn import spawn

from diar_ops import OptionError
from diar_ops.training import Processes, join_processes
from diar_ops.training.checkpoint import load_checkpoint
from tests.training.restoration.tiny import TinyNetwork, tiny_config, tiny_trainer

OPTIONS = {"steps": 2, "validate_every": 2, "clip": 0.1, "workers": 0}


def train(rank: int, port: int, out: Path) -> None:
    """Train as one of two processes."""
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    with join_processes(torch.device("cpu")) as processes:
        assert processes == (rank, 2)
        assert processes.broadcast(rank + 0.5, device=torch.device("cpu")) == [0.5]
        trainer = tiny_trainer(out, tiny_config(**OPTIONS), network=TinyNetwork(dropout=0), processes=processes)
        assert trainer.run()


@pytest.mark.slow
def test_two_processes_are_one(tmp_path: Path) -> None:
    assert tiny_trainer(tmp_path / "one", tiny_config(**OPTIONS), network=TinyNetwork(dropout=0)).run()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spawn(train, (port, tmp_path / "two"), nprocs=2)
    one, two = (load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("one", "two"))
    assert (two.step, two.updates) == (2, 2)
    for mine, other in ((one.network, two.network), (one.mean, two.mean)):
        assert mine.keys() == other.keys()
        for name in set(mine) - {"seen"}:  # a buffer, which each process has its own of
            torch.testing.assert_close(other[name], mine[name], rtol=1e-6, atol=1e-7)
    for row, expected in zip(two.rows, one.rows, strict=True):
        del row["seconds"], expected["seconds"]
        assert row == pytest.approx(expected, rel=1e-5)


def test_one_process_is_alone() -> None:
    with join_processes(torch.device("cpu")) as processes:
        assert processes == Processes(0, 1)
        assert processes.is_main
        value = torch.ones(2)
        assert processes.all_sum(value) is value
        assert processes.broadcast(1.5, 2, device=torch.device("cpu")) == [1.5, 2]


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="a batch that 3 processes can share, got 4"):
        tiny_trainer(tmp_path, tiny_config(), processes=Processes(0, 3))
