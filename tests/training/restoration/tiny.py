"""Something small to train, and small sequences of light to train it on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diar_ops._types import Restored, WholeFrames
from diar_ops.textures import procedural_texture
from diar_ops.training import RestorationConfig, RestorationTask, Trainer
from diar_ops.training.restoration.dataset import SelectedFrames, TrainingSequences
from diar_ops.training.restoration.validation import validation_items
from tests.harness import generator


class TinyNetwork(nn.Module):
    """The mean of the frames, through two convolutions; random while it is trained."""

    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layers = nn.Sequential(
                nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Dropout(dropout), nn.Conv2d(8, 3, 3, padding=1)
            )
            self.unused = nn.Linear(1, 1)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, frames: Tensor, valid: Tensor | None = None, *, whole: WholeFrames | None = None) -> Restored:
        assert (whole is None) == (not self.training)
        if valid is None:
            valid = torch.ones_like(frames[:, :, :1], dtype=torch.bool)
        mean = (frames * valid).sum(dim=1) / valid.sum(dim=1).clamp_min(1)
        self.seen += len(frames) if self.training else 0
        return Restored((mean + self.layers(mean)).clamp(0, 1))


class LightSource:
    """Light that falls on drawn pictures, brighter in every frame."""

    def __init__(self, count: int = 6, side: int = 32, frames: int = 6) -> None:
        self.count, self.side, self.frames = count, side, frames

    def __len__(self) -> int:
        return self.count

    def read(self, index: int, frames: Sequence[int]) -> SelectedFrames:
        size, dice = (self.side, self.side), generator(f"light-{index}")
        label = procedural_texture(dice, size=size, kind="noise")
        light = 0.4 + 0.1 * torch.tensor(list(frames), dtype=torch.float32)
        return SelectedFrames(light[:, None, None, None] * label**2.2, label, True)


def tiny_config(**options: Any) -> RestorationConfig:
    defaults: dict[str, Any] = {
        "frames": (2, 5),
        "crops": (16, 24),
        "batch": 4,
        "steps": 6,
        "validate_every": 2,
        "warmup": 2,
        "whole": 8,
        "lr": 1e-2,
    }
    return RestorationConfig(**{**defaults, **options})


def tiny_data(config: RestorationConfig, source: Any = None) -> TrainingSequences:
    return TrainingSequences(
        [(source or LightSource(), 1.0)],
        frames=config.frames,
        crops=config.crops,
        whole=config.whole,
        ranges=config,
        seed=config.seed,
    )


def tiny_trainer(out: Path, config: RestorationConfig, **more: Any) -> Trainer:
    network = more.pop("network", None) or TinyNetwork()
    data = more.pop("data", None) or tiny_data(config)
    validation = more.pop("validation", None) or {"rendered": validation_items(LightSource(), 2)}
    return Trainer(RestorationTask(network, config, data, validation), out, **more)
