"""Training of a descriptor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diar_ops.matching import DenseDescriptor
from diar_ops.models import DualDescriptor
from diar_ops.textures import TextureSource
from diar_ops.training.curve import Row, curve_figure
from diar_ops.training.descriptors.config import DescriptorConfig
from diar_ops.training.descriptors.loss import matching_loss
from diar_ops.training.descriptors.pairs import ViewPairs, fixed_pairs
from diar_ops.training.descriptors.validation import DESCRIPTOR_SCORES, score_descriptor
from diar_ops.training.loop import DTYPES, Loop
from diar_ops.training.pool import RenderedViews

__all__ = ["DescriptorTrainer", "plot_descriptor_curve", "training_pairs", "validation_pairs"]


def training_pairs(config: DescriptorConfig) -> ViewPairs:
    """Return the training items that options ask for.

    Raises:
        ImageError: A folder holds no pictures.
    """
    textures = TextureSource(config.textures or None, procedural=config.procedural)
    views = _views(config, textures, config.sequences, config.pool_seed)
    return ViewPairs(
        views, batch=config.batch, crop=config.crop, ranges=config.ranges(), seed=config.seed
    )


def validation_pairs(config: DescriptorConfig) -> list[dict[str, Tensor]]:
    """Return the pairs to validate on, always the same; none without pictures to make them of.

    Raises:
        ImageError: A folder holds no pictures.
    """
    if not config.validation:
        return []
    textures = TextureSource(config.validation, procedural=0)
    # Two pairs of each sequence, none of which is in the way of those to train on.
    views = _views(config, textures, -(-config.validate // 2), f"{config.pool_seed}-validation")
    return fixed_pairs(
        views, config.validate, crop=config.crop, ranges=config.ranges(), seed=config.pool_seed
    )


def _views(
    config: DescriptorConfig, textures: TextureSource, count: int, seed: int | str
) -> RenderedViews:
    return RenderedViews(
        config.pool,
        textures,
        count=count,
        frames=config.pool_frames,
        size=(config.size, config.size),
        seed=seed,
    )


class DescriptorTrainer(Loop):
    """Train a descriptor; see :class:`Loop`.

    Args:
        network: A trunk with the stages ``coarse``, ``middle`` and ``fine``.
        config: All options.
        data: The training items.
        validation: The pairs to validate on.
        out: Folder of checkpoint, curve and logs.
        rivals: Descriptors to compare with, by name.
        more: See :class:`Loop`.

    Raises:
        OptionError, WeightsError: See :class:`Loop`.
    """

    unit = "pairs"
    config: DescriptorConfig

    def __init__(
        self,
        network: DualDescriptor,
        config: DescriptorConfig,
        data: ViewPairs,
        validation: Sequence[Mapping[str, Tensor]],
        out: Path,
        *,
        rivals: Mapping[str, DenseDescriptor] | None = None,
        **more: Any,
    ) -> None:
        self.validation = validation
        self.rivals = {
            name: _by_name(score_descriptor(rival, validation).mean(dim=0))
            for name, rival in (rivals or {}).items()
            if validation
        }
        super().__init__(network, config, data, out, **more)

    def stepper(self) -> nn.Module:
        """Return the module of the loss."""
        return _Stepper(self.network, self.config)

    def measure(self) -> dict[str, float]:
        """Return the mean scores over the pairs."""
        if not self.validation:
            return {}
        world = self.processes
        mine = slice(world.rank, None, world.number)
        table = torch.zeros(len(self.validation), len(DESCRIPTOR_SCORES), dtype=torch.float64)
        descriptor = DenseDescriptor(self.mean.network, stages="coarse")
        table[mine] = score_descriptor(descriptor, self.validation[mine], device=self.device)
        mean = world.total(table.to(self.device)).mean(dim=0)
        return _by_name(mean)

    def draw(self, path: Path, rows: list[Row]) -> None:
        """Plot scores and loss."""
        plot_descriptor_curve(path, rows, self.rivals)


def _by_name(scores: Tensor) -> dict[str, float]:
    return dict(zip(DESCRIPTOR_SCORES, scores.tolist(), strict=True))


class _Stepper(nn.Module):
    """From a batch to its loss, so that processes see every use of a parameter."""

    def __init__(self, network: nn.Module, config: DescriptorConfig) -> None:
        super().__init__()
        self.network, self.config = network, config

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        dtype = DTYPES[self.config.precision]
        kind = batch["image0"].device.type
        with torch.autocast(kind, dtype=dtype, enabled=dtype != torch.float32):
            return matching_loss(self.network, batch)


STYLES = dict(zip(DESCRIPTOR_SCORES, ("-", "--"), strict=True))


def plot_descriptor_curve(
    path: Path, rows: Sequence[Row], rivals: Mapping[str, Mapping[str, float]]
) -> None:
    """Plot scores and loss as PNG, the scores of rivals as level lines."""
    with curve_figure(path, rows, title="DualDescriptor", ylabel="share") as (axes, hours):
        for score, style in STYLES.items():
            values = [row.get(score, float("nan")) for row in rows]
            axes.plot(hours, values, style, color="C0", marker=".", label=score)
        for number, (name, scores) in enumerate(rivals.items(), start=1):
            for score, style in STYLES.items():
                axes.axhline(
                    scores[score], linestyle=style, color=f"C{number}", label=f"{name}, {score}"
                )
