"""Checkpoints: the state of a run in one file, from which it goes on where it was."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from diar_ops._errors import WeightsError
from diar_ops._files import atomic_path
from diar_ops.training.curve import Row

FORMAT, VERSION = "diar_ops training", 1


@dataclass
class Checkpoint:
    """The state of a run after ``step`` steps; tensors, numbers and words only.

    Attributes:
        config: Of the run, as text.
        network, mean, optimizer, scaler: State dicts; ``mean`` of the averaged weights.
        step: Steps done, skipped ones too.
        seconds: Of training so far, without validation.
        updates: Steps that were not skipped.
        skipped: Steps that were, because loss or gradient was not finite; ``in_a_row`` of them
            just now.
        loss_sum, loss_count: Of the steps since the last row.
        rows: The learning curve.
    """

    config: str
    network: dict[str, Any]
    mean: dict[str, Any]
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    step: int = 0
    seconds: float = 0.0
    updates: int = 0
    skipped: int = 0
    in_a_row: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    rows: list[Row] = field(default_factory=list)


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all.

    Raises:
        OutputError: The file cannot be written.
    """
    content = {f.name: getattr(checkpoint, f.name) for f in fields(Checkpoint)}
    with atomic_path(path, overwrite=True) as temporary:
        torch.save({"format": FORMAT, "version": VERSION, **content}, temporary)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, to the CPU; nothing in the file is executed.

    Raises:
        WeightsError: The file is damaged, or no checkpoint of this version.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # A damaged file fails anywhere in the reader, and torch advises to load it unsafely.
        raise WeightsError(f"{path} is damaged or no checkpoint; delete it to begin anew") from error
    marks = (content.get("format"), content.get("version")) if isinstance(content, dict) else ()
    if marks != (FORMAT, VERSION):
        raise WeightsError(f"{path} is no checkpoint of version {VERSION}")
    return Checkpoint(**{f.name: content[f.name] for f in fields(Checkpoint)})
