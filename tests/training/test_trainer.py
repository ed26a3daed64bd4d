"""A run that was stopped is the run that was not; what is wrong is said in one sentence."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from diar_ops import DiarError, OptionError, OutputError, WeightsError
from diar_ops._folders import locked_folder
from diar_ops._types import Restored
from diar_ops.training import RestorationTask
from diar_ops.training.checkpoint import load_checkpoint
from tests.training.restoration.tiny import TinyNetwork, tiny_config, tiny_trainer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def plots_nothing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots are most of the time of runs this short; one test looks at them."""
    if "leaves_behind" not in request.node.name:
        monkeypatch.setattr(RestorationTask, "plot", lambda *a: None)


def assert_same(one: Any, other: Any, path: str = "") -> None:
    """Compare nested tensors and numbers bit by bit, but for times."""
    assert type(one) is type(other), path
    if isinstance(one, Tensor):
        assert torch.equal(one, other), path
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            if key != "seconds":
                assert_same(one[key], other[key], f"{path}.{key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), path
        for number, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{path}[{number}]")
    else:
        assert one == other or (one != one and other != other), path


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


def test_a_killed_process_goes_on_bit_for_bit(tmp_path: Path) -> None:
    config = tiny_config()
    assert tiny_trainer(tmp_path / "straight", config).run()
    program = (
        "import os, signal, sys, torch; from pathlib import Path;"
        "from tests.training.restoration.tiny import *; torch.set_num_threads(1);"
        "kill = lambda now: now.step == 3 and os.kill(os.getpid(), signal.SIGKILL);"
        "tiny_trainer(Path(sys.argv[1]), tiny_config(workers=1), progress=kill).run()"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "killed")]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert load_checkpoint(tmp_path / "killed" / "checkpoint.pt").step == 2
    assert tiny_trainer(tmp_path / "killed", config).run()
    assert_same_run(tmp_path / "straight", tmp_path / "killed")
    # The last step before the kill was logged, but came again: the curve has each row once.
    lines = (tmp_path / "killed" / "curve.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["step", "2", "4", "6"]


def test_a_finished_run_can_be_extended(tmp_path: Path) -> None:
    constant = {"schedule": "constant"}
    assert tiny_trainer(tmp_path / "once", tiny_config(steps=4, **constant)).run()
    before = (tmp_path / "once" / "curve.csv").read_text()
    again = tiny_trainer(tmp_path / "once", tiny_config(steps=4, **constant))
    assert again.run()
    assert again.state.step == 4
    assert (tmp_path / "once" / "curve.csv").read_text() == before
    assert tiny_trainer(tmp_path / "once", tiny_config(steps=6, **constant)).run()
    assert tiny_trainer(tmp_path / "straight", tiny_config(**constant)).run()
    assert_same_run(tmp_path / "once", tmp_path / "straight")


def test_what_a_run_leaves_behind(tmp_path: Path) -> None:
    exported: list[tuple[nn.Module, dict[str, str]]] = []
    trainer = tiny_trainer(tmp_path, tiny_config(steps=5), export=lambda *what: exported.append(what))
    assert trainer.run()
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "checkpoint.pt", "curve.csv", "curve.png", "tb"}
    header, *rows = (tmp_path / "curve.csv").read_text().splitlines()
    assert header == ("step,epoch,sequences,seconds,loss,skipped,rendered_psnr,rendered_psnr_gain,rendered_ssim")
    # Every second step, and the end.
    assert [row.split(",")[:3] for row in rows] == [["2", "1", "8"], ["4", "2", "16"], ["5", "2.5", "20"]]
    network, facts = exported[-1]
    assert network is trainer.mean.module
    assert (facts["steps"], facts["sequences"], facts["seed"]) == ("5", "20", "0")
    assert float(facts["rendered_psnr"]) == pytest.approx(trainer.scores["rendered_psnr"], abs=1e-3)
    assert '"batch": 4' in facts["options"]
    with Image.open(tmp_path / "curve.png") as image:
        assert image.format == "PNG"
    assert list((tmp_path / "tb").iterdir())


def test_minutes_are_counted_across_stops(tmp_path: Path) -> None:
    config = tiny_config(steps=None, minutes=0.01)
    first = tiny_trainer(tmp_path, config, progress=Stop(1))
    assert not first.run()
    assert first.state.seconds > 0
    second = tiny_trainer(tmp_path, config)
    assert second.run()
    assert second.state.seconds >= 0.6
    assert second.total_steps is None
    rates = [trainer.optimizer.param_groups[0]["lr"] for trainer in (first, second)]
    assert rates[0] == config.lr / 2
    assert rates[1] < config.lr / 2
    steps = second.state.step
    third = tiny_trainer(tmp_path, config)
    assert third.run()
    assert third.state.step == steps


def test_the_length_in_epochs(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, tiny_config(steps=None, epochs=2.5, batch=2))
    assert (trainer.epoch_steps, trainer.total_steps) == (3, 8)  # of 6 sequences


def test_the_learning_rate_rises_and_falls(tmp_path: Path) -> None:
    rates = []
    trainer = tiny_trainer(tmp_path, tiny_config(steps=10, validate_every=100))
    trainer.progress = lambda now: rates.append(trainer.optimizer.param_groups[0]["lr"])
    assert trainer.run()
    assert rates[0] == pytest.approx(0.5e-2)
    assert rates[1] == pytest.approx(1e-2 * (0.01 + 0.99 * (1 + math.cos(0.1 * math.pi)) / 2))
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert rates[-1] < 0.05 * rates[1]


def test_scores_are_means_over_each_set_named_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = torch.tensor([[10.0, 20.0, 0.5], [20.0, 40.0, 0.7]], dtype=torch.float64)
    monkeypatch.setattr(RestorationTask, "score", lambda self, network, items, device: table[items])
    trainer = tiny_trainer(tmp_path, tiny_config(steps=1), validation={"held": [0, 1], "none": []})
    assert trainer.run()
    assert trainer.scores == pytest.approx({"held_psnr": 15.0, "held_psnr_gain": 30.0, "held_ssim": 0.6})


# --- what goes wrong ----------------------------------------------------------------------------


class Sick(TinyNetwork):
    """Not a number in some steps, counted from 0."""

    def __init__(self, steps: set[int]) -> None:
        super().__init__()
        self.steps, self.step = steps, 0

    def forward(self, *inputs: Any, **more: Any) -> Restored:
        output = super().forward(*inputs, **more)
        if self.training:
            if self.step in self.steps:
                output = Restored(output.image * torch.nan)
            self.step += 1
        return output


def test_a_step_that_is_not_finite_is_skipped(tmp_path: Path) -> None:
    before: dict[int, Tensor] = {}
    trainer = tiny_trainer(tmp_path, tiny_config(), network=Sick({1, 4}))
    weight = trainer.network.layers[0].weight
    trainer.progress = lambda now: before.update({now.step: weight.detach().clone()})
    assert trainer.run()
    same = [torch.equal(before[step], before[step + 1]) for step in range(1, 6)]
    assert same == [True, False, False, True, False]
    assert (trainer.state.skipped, trainer.state.updates, trainer.state.step) == (2, 4, 6)
    assert all(math.isfinite(row["loss"]) for row in trainer.state.rows)
    assert trainer.state.rows[-1]["skipped"] == 2


def test_float16_begins_anew_with_a_smaller_scale(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, tiny_config(precision="float16"))
    trainer.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    assert trainer.run()
    assert trainer.state.skipped == 6  # a factor of two at a time
    assert trainer.scaler.get_scale() == 2.0**121
    again = tiny_trainer(tmp_path, tiny_config(precision="float16", steps=8))
    assert again.scaler.get_scale() == 2.0**121
    again.scaler.load_state_dict({**again.scaler.state_dict(), "scale": 2.0**10})
    assert again.run()
    assert again.state.skipped == 6
    assert again.state.updates == 2


def test_too_many_of_them_end_the_run(tmp_path: Path) -> None:
    sick = Sick(set(range(2, 100)))
    trainer = tiny_trainer(tmp_path, tiny_config(steps=100, validate_every=50), network=sick)
    with pytest.raises(DiarError, match=r"in 20 steps in a row \(up to step 22\); begin another run"):
        trainer.run()


def test_another_run_in_the_folder_is_refused(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, tiny_config(steps=2))
    with locked_folder(tmp_path), pytest.raises(OutputError, match="another run works in"):
        trainer.run()
    assert trainer.run()


def test_other_options_are_refused(tmp_path: Path) -> None:
    assert tiny_trainer(tmp_path, tiny_config(steps=2)).run()
    with pytest.raises(OptionError, match="the run began with batch = 4, now it is 8"):
        tiny_trainer(tmp_path, tiny_config(batch=8))


def test_another_network_is_refused(tmp_path: Path) -> None:
    assert tiny_trainer(tmp_path, tiny_config(steps=2)).run()
    other = TinyNetwork()
    other.layers.append(nn.Conv2d(3, 3, 1))
    with pytest.raises(WeightsError, match="is of another network; give another output folder"):
        tiny_trainer(tmp_path, tiny_config(), network=other)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 cut off"])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(WeightsError, match=r"checkpoint.pt is damaged or no checkpoint; delete it"):
        tiny_trainer(tmp_path, tiny_config())


def test_a_checkpoint_holds_nothing_to_execute(tmp_path: Path) -> None:
    torch.save({"format": print}, tmp_path / "checkpoint.pt")
    with pytest.raises(WeightsError, match="damaged or no checkpoint"):
        load_checkpoint(tmp_path / "checkpoint.pt")
    torch.save({"format": "diar_ops training", "version": 99}, tmp_path / "checkpoint.pt")
    with pytest.raises(WeightsError, match="no checkpoint of version 1"):
        load_checkpoint(tmp_path / "checkpoint.pt")


def test_a_run_that_pauses_is_the_run_that_does_not(tmp_path: Path) -> None:
    config = tiny_config()
    assert tiny_trainer(tmp_path / "straight", config).run()
    trainer = tiny_trainer(tmp_path / "paused", config)
    assert not trainer.run(until=1)
    assert trainer.state.step == 1
    assert load_checkpoint(tmp_path / "paused" / "checkpoint.pt").step == 1
    # In the same process, and in another one.
    assert not trainer.run(until=2)
    assert tiny_trainer(tmp_path / "paused", config).run()
    assert_same_run(tmp_path / "straight", tmp_path / "paused")
