"""What options ask for is what is trained and validated on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from diar_ops.data import ImageError
from diar_ops.training import RestorationConfig
from diar_ops.training.restoration.dataset import CyclesSource, RenderedSource
from diar_ops.training.restoration.task import training_sequences, validation_sets
from tests.sequences import write_dataset


def small(**options: Any) -> RestorationConfig:
    defaults: dict[str, Any] = {
        "sizes": (16,),
        "sequences": (4,),
        "pool_frames": 2,
        "frames": (1, 2),
        "crops": (12,),
        "held_out": 0.5,
    }
    return RestorationConfig(**{**defaults, **options})


def test_shares_of_sizes_and_sets(tmp_path: Path) -> None:
    cycles = write_dataset(tmp_path, kind="aligned")
    config = small(sizes=(16, 24), sequences=(6, 2), cycles=(str(cycles),), cycles_share=0.2)
    data = training_sequences(config)
    assert data.shares.tolist() == pytest.approx([0.6, 0.2, 0.2])
    assert [len(source) for source in data.sources] == [3, 1, 3]
    assert [type(source) for source in data.sources] == [RenderedSource, RenderedSource, CyclesSource]
    assert data.bare == config.bare == 8
    config = small(sizes=(16, 24), size_shares=(1, 3), bare=0)
    assert training_sequences(config).bare == 0
    assert training_sequences(config).shares.tolist() == pytest.approx([0.25, 0.75])


def test_sets_of_cycles_alone(tmp_path: Path) -> None:
    cycles = write_dataset(tmp_path, kind="aligned")
    config = small(sequences=(0,), cycles=(str(cycles),), frames=(3, 4), validation=(str(cycles),))
    assert training_sequences(config).sequences == 3
    sets = validation_sets(config)
    assert list(sets) == ["cycles"]
    assert [item.frames.shape for item in sets["cycles"]] == [(2, 3, 48, 64)] * 3


def test_misaligned_sets_are_refused(tmp_path: Path) -> None:
    config = small(cycles=(str(write_dataset(tmp_path)),))
    with pytest.raises(ImageError, match="is a misaligned sequence"):
        training_sequences(config)


def test_validated_sequences_are_held_out(tmp_path: Path) -> None:
    config = small(pool=str(tmp_path), validate=3)
    held_out = validation_sets(config)
    assert {name: len(items) for name, items in held_out.items()} == {"rendered": 2}
    data = training_sequences(config)
    labels = [(data.sources[0].read(i, [0]).label * 255).round() for i in range(2)]
    for item in held_out["rendered"]:
        assert item.frames.shape == (2, 3, 16, 16)
        assert not any(torch.equal(item.label, label.to(torch.uint8)) for label in labels)
    # More sequences leave those that are validated where they were.
    more = validation_sets(small(pool=str(tmp_path), validate=2, sequences=(8,)))
    for one, other in zip(held_out["rendered"], more["rendered"], strict=True):
        assert torch.equal(one.frames, other.frames)
    # Four of the first pool, and none was rendered twice.
    assert len(list(tmp_path.rglob("*.safetensors"))) == 4


def test_nothing_to_validate_on() -> None:
    assert validation_sets(small(validate=0)) == {}
    assert validation_sets(small(held_out=0.0)) == {}
