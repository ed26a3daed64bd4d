"""Training of the networks that restore pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from diar_ops._types import Restored, Whole
from diar_ops.models import FaithfulDIAR
from diar_ops.training.curve import Row, plot_curve
from diar_ops.training.loop import DTYPES, Loop
from diar_ops.training.restoration.config import TrainConfig
from diar_ops.training.restoration.dataset import TrainingSequences
from diar_ops.training.restoration.loss import common_light_loss, restoration_loss
from diar_ops.training.restoration.validation import ValidationItem, mean_scores, score_network

__all__ = ["Trainer"]


class Trainer(Loop):
    """Train a network that restores pictures; see :class:`Loop`.

    Args:
        network: ``forward(frames, valid, whole=...)`` returns a :class:`Restored`.
        config: All options.
        data: The training items.
        validation: Sequences to validate on, by the name of their set.
        out: Folder of checkpoint, curve and logs.
        more: See :class:`Loop`.

    Raises:
        OptionError, WeightsError: See :class:`Loop`.
    """

    unit = "sequences"
    config: TrainConfig

    def __init__(
        self,
        network: nn.Module,
        config: TrainConfig,
        data: TrainingSequences,
        validation: Mapping[str, Sequence[ValidationItem]],
        out: Path,
        **more: Any,
    ) -> None:
        self.validation = validation
        super().__init__(network, config, data, out, **more)

    def stepper(self) -> nn.Module:
        """Return the module of the loss."""
        return _Stepper(self.network, self.config)

    def measure(self) -> dict[str, float]:
        """Return the mean scores of each set."""
        world = self.processes
        tables = {}
        for name, items in self.validation.items():
            if not items:
                continue
            mine = slice(world.rank, None, world.number)
            table = torch.zeros(len(items), 3, dtype=torch.float64)
            table[mine] = score_network(self.mean.network, items[mine], device=self.device)
            tables[name] = world.total(table.to(self.device)).cpu()
        return mean_scores(tables)

    def draw(self, path: Path, rows: list[Row]) -> None:
        """Plot PSNR and loss."""
        plot_curve(path, rows, title=self.config.network)


class _Stepper(nn.Module):
    """From a batch to its loss, so that processes see every use of a parameter."""

    def __init__(self, network: nn.Module, config: TrainConfig) -> None:
        super().__init__()
        self.network, self.config = network, config

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        whole = Whole(batch["whole_frames"], batch["whole_valid"], batch["window"])
        dtype = DTYPES[self.config.precision]
        with torch.autocast(
            batch["frames"].device.type, dtype=dtype, enabled=dtype != torch.float32
        ):
            output = cast(Restored, self.network(batch["frames"], batch["valid"], whole=whole))
        loss = restoration_loss(output, batch, ssim_weight=self.config.ssim_weight)
        if isinstance(self.network, FaithfulDIAR) and self.config.bare:
            loss = loss + common_light_loss(self.network, batch["bare_light"])
        return loss
