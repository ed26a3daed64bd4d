"""Training of dense descriptors: pairs of photos, loss, validation, loop."""

from diar_ops.training.descriptors.config import DescriptorConfig
from diar_ops.training.descriptors.loss import matching_loss
from diar_ops.training.descriptors.pairs import PairRanges, ViewPairs, fixed_pairs
from diar_ops.training.descriptors.trainer import (
    DescriptorTrainer,
    training_pairs,
    validation_pairs,
)
from diar_ops.training.descriptors.validation import DESCRIPTOR_SCORES, score_descriptor
from diar_ops.training.pool import RenderedViews

__all__ = [
    "DESCRIPTOR_SCORES",
    "DescriptorConfig",
    "DescriptorTrainer",
    "PairRanges",
    "RenderedViews",
    "ViewPairs",
    "fixed_pairs",
    "matching_loss",
    "score_descriptor",
    "training_pairs",
    "validation_pairs",
]
