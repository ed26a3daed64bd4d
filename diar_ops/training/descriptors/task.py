"""Training of a descriptor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from diar_ops.matching import DenseDescriptor
from diar_ops.models import load_descriptor
from diar_ops.textures import TextureSource
from diar_ops.training.curve import Line, Row, column, plot_curve
from diar_ops.training.descriptors.config import DescriptorConfig
from diar_ops.training.descriptors.loss import matching_loss
from diar_ops.training.descriptors.pairs import ViewPairs, fixed_pairs
from diar_ops.training.descriptors.validation import DESCRIPTOR_SCORES, score_descriptor
from diar_ops.training.network import build_network
from diar_ops.training.rendered import RenderedSequences
from diar_ops.training.task import Task

#: Style of the lines of each score.
STYLES = dict(zip(DESCRIPTOR_SCORES, ("-", "--"), strict=True))


def training_pairs(config: DescriptorConfig) -> ViewPairs:
    """Return the training items that options ask for.

    Raises:
        ImageError: A folder holds no pictures.
    """
    textures = TextureSource(config.textures or None, procedural=config.procedural)
    views = _rendered_views(config, textures, config.sequences, config.pool_seed)
    return ViewPairs(views, batch=config.batch, crop=config.crop, ranges=config, seed=config.seed)


def validation_pairs(config: DescriptorConfig) -> list[dict[str, Tensor]]:
    """Return the pairs to validate on, always the same; none without pictures to make them of.

    Raises:
        ImageError: A folder holds no pictures.
    """
    if not config.validation:
        return []
    textures = TextureSource(config.validation, procedural=0)
    # Two pairs of each sequence, none of which is in the way of those to train on.
    count, seed = -(-config.validate // 2), f"{config.pool_seed}-validation"
    views = _rendered_views(config, textures, count, seed)
    return fixed_pairs(views, config.validate, crop=config.crop, ranges=config, seed=config.pool_seed)


def _rendered_views(
    config: DescriptorConfig, textures: TextureSource, count: int, seed: int | str
) -> RenderedSequences:
    return RenderedSequences(
        config.pool,
        textures,
        count=count,
        frames=config.pool_frames,
        size=(config.size, config.size),
        kind="misaligned",
        seed=seed,
        glass=config.glass,
    )


class DescriptorTask(Task):
    """Match photos of one picture by a descriptor; see :class:`Task`.

    Args:
        network: A trunk with the stages ``coarse``, ``middle`` and ``fine``.
        config: All options.
        data: The training items.
        validation: The pairs to validate on.
        baselines: Descriptors to compare with, by name.

    Attributes:
        baseline_scores: Mean scores of the baselines; empty without pairs to validate on.
    """

    unit = "pairs"
    scores = DESCRIPTOR_SCORES

    def __init__(
        self,
        network: nn.Module,
        config: DescriptorConfig,
        data: ViewPairs,
        validation: Sequence[Mapping[str, Tensor]],
        *,
        baselines: Mapping[str, DenseDescriptor] | None = None,
    ) -> None:
        super().__init__(network, config, data, {"": validation})
        self.baseline_scores: dict[str, dict[str, float]] = {}
        if validation:
            for name, descriptor in (baselines or {}).items():
                mean = score_descriptor(descriptor, validation).mean(dim=0)
                self.baseline_scores[name] = dict(zip(self.scores, mean.tolist(), strict=True))

    @classmethod
    def from_config(cls, config: DescriptorConfig) -> DescriptorTask:
        """Return the task that options ask for, compared with dense SIFT and their ResNet-18.

        Raises:
            OptionError: There is no such option of the network.
            WeightsError: Weights cannot be read, or are of another network.
            ImageError: A folder holds no pictures.
        """
        network = build_network("DualDescriptor", config)
        files = {"dense SIFT": "sift"}
        if config.resnet18:
            files["ResNet-18"] = config.resnet18
        baselines = {name: load_descriptor(file) for name, file in files.items()}
        pairs = training_pairs(config)
        return cls(network, config, pairs, validation_pairs(config), baselines=baselines)

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Return the loss of a batch of :class:`ViewPairs`."""
        with self.config.autocast(batch["image0"].device):
            return matching_loss(network, batch)

    def score(self, network: nn.Module, items: Sequence[Mapping[str, Tensor]], *, device: torch.device) -> Tensor:
        """Return the :data:`DESCRIPTOR_SCORES` of pairs, (pairs, 2) float64."""
        return score_descriptor(DenseDescriptor(network, stages="coarse"), items, device=device)

    def plot(self, path: Path, rows: Sequence[Row]) -> None:
        """Plot scores and loss, the scores of the baselines as levels."""
        lines = [Line(score, column(rows, score), STYLES[score], "C0") for score in self.scores]
        for number, (name, scores) in enumerate(self.baseline_scores.items(), start=1):
            for score, value in scores.items():
                lines.append(Line(f"{name}, {score}", value, STYLES[score], f"C{number}"))
        plot_curve(path, rows, lines, title="DualDescriptor", ylabel="share")

    def summary(self, scores: Mapping[str, float]) -> dict[str, float]:
        """Return the scores, and those of the baselines."""
        summary = super().summary(scores)
        for name, values in self.baseline_scores.items():
            summary.update({f"{score} of {name}": value for score, value in values.items()})
        return summary
