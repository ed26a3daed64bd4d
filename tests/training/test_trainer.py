"""A run that was stopped is the run that was not; what is wrong is said in one sentence."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from diar_ops.training import load_checkpoint
from tests.training.tiny import tiny_config, tiny_trainer


def assert_same(one: Any, other: Any, at: str = "") -> None:
    """Compare nested tensors and numbers bit by bit, but for times."""
    assert type(one) is type(other), at
    if isinstance(one, Tensor):
        assert torch.equal(one, other), at
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), at
        for key in one:
            if key != "seconds":
                assert_same(one[key], other[key], f"{at}.{key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), at
        for number, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{at}[{number}]")
    else:
        assert one == other or (one != one and other != other), at


def assert_same_run(one: Path, other: Path) -> None:
    left, right = (vars(load_checkpoint(out / "checkpoint.pt")) for out in (one, other))
    assert left["config"]
    assert_same(left, right)


class Stop:
    """Progress that sends a signal after a step."""

    def __init__(self, step: int, number: int = signal.SIGTERM) -> None:
        self.step, self.number = step, number

    def __call__(self, now: Any) -> None:
        if now.step == self.step:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("options", [{}, {"precision": "bfloat16", "schedule": "constant"}])
def test_a_stopped_run_goes_on_bit_for_bit(tmp_path: Path, options: dict[str, Any]) -> None:
    config = tiny_config(**options)
    assert tiny_trainer(tmp_path / "straight", config).run()
    for stop in (Stop(1), Stop(3, signal.SIGINT)):
        assert not tiny_trainer(tmp_path / "stopped", config, progress=stop).run()
    assert tiny_trainer(tmp_path / "stopped", config).run()
    assert_same_run(tmp_path / "straight", tmp_path / "stopped")


def test_training_helps(tmp_path: Path) -> None:
    config = tiny_config(steps=60, validate_every=20, ema=0.9, plain=1, albedo=0)
    trainer = tiny_trainer(tmp_path, config)
    assert trainer.run()
    scores = [row["rendered_psnr"] for row in trainer.state.rows]
    assert scores[-1] > scores[0] + 1
