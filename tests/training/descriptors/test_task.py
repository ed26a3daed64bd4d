"""A run that was stopped is the run that was not, and training helps."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from diar_ops import DenseDescriptor, DenseSIFT, OptionError
from diar_ops.training import DescriptorConfig, DescriptorTask
from diar_ops.training.descriptors.pairs import fixed_pairs
from diar_ops.training.descriptors.task import training_pairs, validation_pairs
from diar_ops.training.descriptors.validation import score_descriptor
from tests.training.descriptors.tiny import tiny_config, tiny_network, tiny_trainer, tiny_views
from tests.training.test_trainer import assert_same_run


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pool")


def test_a_stopped_run_goes_on_bit_for_bit(tmp_path: Path, pool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DescriptorTask, "plot", lambda *a: None)

    def stop(now: Any) -> None:
        if now.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    config = tiny_config(pool)
    assert tiny_trainer(tmp_path / "straight", config).run()
    assert not tiny_trainer(tmp_path / "stopped", config, progress=stop).run()
    assert tiny_trainer(tmp_path / "stopped", config).run()
    assert_same_run(tmp_path / "straight", tmp_path / "stopped")
    header = (tmp_path / "stopped" / "curve.csv").read_text().splitlines()[0]
    assert header == "step,epoch,pairs,seconds,loss,skipped,right,found"


def test_training_helps(tmp_path: Path, pool: Path) -> None:
    config = tiny_config(pool, steps=40, validate_every=20, ema=0.9, near=0.0)
    trainer = tiny_trainer(tmp_path, config, baselines={"SIFT": DenseDescriptor(DenseSIFT(stride=8))})
    assert trainer.run()
    first, last = trainer.state.rows
    assert last["loss"] < first["loss"]
    assert trainer.task.baseline_scores["SIFT"].keys() == {"right", "found"}
    assert (tmp_path / "curve.png").is_file()


def test_scores_of_a_descriptor_that_is_always_right(pool: Path) -> None:
    """A picture matched with itself: every match is right, every place is found."""
    pair = dict(fixed_pairs(tiny_views(pool), 1, crop=48, ranges=tiny_config(), seed=0)[0])
    pair["image1"], pair["visible1"] = pair["image0"], pair["visible0"]
    pair["homography_1_0"] = torch.eye(3, dtype=torch.float64)
    pair["visible0"] = pair["visible1"] = torch.ones_like(pair["visible0"])
    pair["image0"] = pair["image1"] = pair["image0"].nan_to_num(0.5)
    scores = score_descriptor(DenseDescriptor(DenseSIFT(stride=8)), [pair])
    assert scores[0, 0] > 0.95
    assert 0.3 < scores[0, 1] <= 1
    pair["visible1"] = torch.zeros_like(pair["visible1"])
    assert not score_descriptor(DenseDescriptor(DenseSIFT(stride=8)), [pair]).any()


def test_sets_of_options(tmp_path: Path, pool: Path) -> None:
    pairs = training_pairs(tiny_config(pool, near=0.5, batch=4))
    assert (pairs.sequences, pairs.near, pairs.crop) == (3, 2, 48)
    assert validation_pairs(tiny_config(pool)) == []
    from PIL import Image

    for number in range(2):
        Image.effect_noise((80, 90), 60).convert("RGB").save(tmp_path / f"{number}.png")
    config = tiny_config(pool, validation=(str(tmp_path),), validate=3)
    assert len(validation_pairs(config)) == 3
    assert len(list((pool / "views-64x64x2-1-validation").iterdir())) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"procedural": 2}, "DescriptorConfig.procedural: expected 0 to 1"),
        ({"sequences": 0}, "DescriptorConfig.sequences: expected at least 1"),
        ({"pool_frames": 1}, "DescriptorConfig.pool_frames: expected at least 2"),
        ({"crop": 8}, "DescriptorConfig.crop: expected at least 16"),
        ({"scale": 0.4}, "PairRanges.scale: expected 1 to 10"),
        ({"lr": 0}, "DescriptorConfig.lr: expected more than 0"),
        ({"steps": 5, "minutes": 5}, "not both"),
    ],
)
def test_what_cannot_be_trained_with_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        DescriptorConfig(**options)


def test_other_options_are_refused() -> None:
    earlier = tiny_config().to_json()
    tiny_config(minutes=3, steps=None, sequences=9).check_continues(earlier)
    with pytest.raises(OptionError, match="the run began with crop = 48, now it is 64"):
        tiny_config(crop=64).check_continues(earlier)


def test_a_plot_of_nothing_yet(tmp_path: Path) -> None:
    config = tiny_config()
    pairs = fixed_pairs(tiny_views(None), 1, crop=48, ranges=config, seed=0)
    baselines = {"SIFT": DenseDescriptor(DenseSIFT(stride=8))}
    task = DescriptorTask(tiny_network(), config, training_pairs(config), pairs, baselines=baselines)
    task.plot(tmp_path / "curve.png", [])
    assert (tmp_path / "curve.png").is_file()
