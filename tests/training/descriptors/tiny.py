"""A small descriptor, and small pictures to train it on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from diar_ops.models import DualDescriptor, DualDescriptorConfig
from diar_ops.textures import TextureSource
from diar_ops.training import DescriptorConfig, DescriptorTask, RunConfig, Trainer
from diar_ops.training.descriptors.pairs import fixed_pairs
from diar_ops.training.descriptors.task import training_pairs
from diar_ops.training.network import build_network
from diar_ops.training.rendered import RenderedSequences

OPTIONS = ("widths=(8, 8, 16, 16)", "blocks=(0, 1, 0)", "coarse=32", "fine=8", "fine_width=8")


def tiny_network() -> DualDescriptor:
    network = build_network("DualDescriptor", RunConfig(options=OPTIONS))
    assert isinstance(network, DualDescriptor)
    assert network.config == DualDescriptorConfig((8, 8, 16, 16), (0, 1, 0), 32, 8, 8)
    return network


def tiny_config(pool: Path | None = None, **options: Any) -> DescriptorConfig:
    defaults: dict[str, Any] = {
        "size": 64,
        "crop": 48,
        "sequences": 3,
        "pool_frames": 2,
        "batch": 3,
        "steps": 4,
        "validate_every": 2,
        "warmup": 1,
        "lr": 5e-3,
        "near": 0.4,
        "rotation": 20,
        "scale": 1.3,
        "pool": None if pool is None else str(pool),
    }
    return DescriptorConfig(**{**defaults, **options})


def tiny_views(pool: Path | None, **options: Any) -> RenderedSequences:
    defaults: dict[str, Any] = {"count": 3, "frames": 2, "size": (64, 64), "seed": 1}
    return RenderedSequences(pool, TextureSource(), kind="misaligned", **{**defaults, **options})


def tiny_trainer(out: Path, config: DescriptorConfig, **more: Any) -> Trainer:
    pool = None if config.pool is None else Path(config.pool)
    views = tiny_views(pool, seed="validation")
    validation = fixed_pairs(views, 2, crop=config.crop, ranges=config, seed=0)
    network = more.pop("network", None) or tiny_network()
    task = DescriptorTask(network, config, training_pairs(config), validation, baselines=more.pop("baselines", None))
    return Trainer(task, out, **more)
