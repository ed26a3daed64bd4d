"""Training: data, loss, loop, checkpoints."""

from diar_ops.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from diar_ops.training.ema import MeanWeights
from diar_ops.training.loop import Loop, Progress
from diar_ops.training.options import RunConfig
from diar_ops.training.pool import RenderedSequences
from diar_ops.training.processes import Processes, joined_processes
from diar_ops.training.restoration.assemble import (
    initial_network,
    training_sequences,
    validation_sets,
)
from diar_ops.training.restoration.augment import AugmentRanges
from diar_ops.training.restoration.config import TrainConfig
from diar_ops.training.restoration.dataset import (
    CyclesSource,
    RenderedSource,
    Source,
    Taken,
    TrainingSequences,
)
from diar_ops.training.restoration.loss import restoration_loss
from diar_ops.training.restoration.trainer import Trainer
from diar_ops.training.restoration.validation import (
    SCORES,
    ValidationItem,
    score_network,
    validation_items,
)
from diar_ops.training.sampler import StepSampler

__all__ = [
    "SCORES",
    "AugmentRanges",
    "Checkpoint",
    "CyclesSource",
    "Loop",
    "MeanWeights",
    "Processes",
    "Progress",
    "RenderedSequences",
    "RenderedSource",
    "RunConfig",
    "Source",
    "StepSampler",
    "Taken",
    "TrainConfig",
    "Trainer",
    "TrainingSequences",
    "ValidationItem",
    "initial_network",
    "joined_processes",
    "load_checkpoint",
    "restoration_loss",
    "save_checkpoint",
    "score_network",
    "training_sequences",
    "validation_items",
    "validation_sets",
]
