"""Small networks of every kind, and the headers of their files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from diar_ops import DeepResidualSetsConfig, DIARConfig, DualDescriptor, DualDescriptorConfig, FaithfulDIARConfig
from diar_ops.models.weights.registry import NETWORKS

SIZES = {"channels": (4, 8), "blocks": (1, 1), "decoder_blocks": (0, 1)}
CONFIGS = {
    "DeepResidualSets": DeepResidualSetsConfig(**SIZES),
    "DIAR": DIARConfig(**SIZES, window=(5, 2, 2), aggregation="embedded_mean", mlp_ratio=1.5),
    "FaithfulDIAR": FaithfulDIARConfig(8, 1, 8, 4, 8, 1, 2, window=(5, 2, 2)),
    "DualDescriptor": DualDescriptorConfig((4, 8, 8, 8), (0, 1, 0), 8, 4, 6),
}
every = pytest.mark.parametrize("name", NETWORKS)


def network(name: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return NETWORKS[name].network(CONFIGS[name])


def apply_network(built: nn.Module, frames: Tensor) -> Tensor:
    """What a network makes of frames: a picture, or descriptors of each."""
    if isinstance(built, DualDescriptor):
        return built(frames[0], stages=("fine",))["fine"]
    image: Tensor = built(frames).image
    return image


def header(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return dict(file.metadata())


def rewrite(path: Path, state: Mapping[str, Tensor] | None = None, **words: str | None) -> Path:
    """Change the tensors or the header of a file; ``None`` takes a word away."""
    known = header(path)
    for key, value in words.items():
        known.pop(f"diar_ops.{key}", None)
        if value is not None:
            known[f"diar_ops.{key}"] = value
    save_file(dict(load_file(path) if state is None else state), path, known)
    return path
