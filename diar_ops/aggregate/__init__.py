"""From aligned frames to one picture."""

from diar_ops.aggregate.consensus import ConsensusLogits, consensus_logits
from diar_ops.aggregate.embedded_mean import EmbeddedMeanAggregate, embedded_mean_aggregate
from diar_ops.aggregate.exposure import ExposureGain, exposure_gain
from diar_ops.aggregate.mean import MeanAggregate, mean_aggregate
from diar_ops.aggregate.median import MedianAggregate, median_aggregate
from diar_ops.aggregate.softmax import SoftmaxAggregate, softmax_aggregate
from diar_ops.aggregate.swin import SwinAggregate, swin_aggregate
from diar_ops.aggregate.swin_block import SwinBlock, swin_block

__all__ = [
    "ConsensusLogits",
    "EmbeddedMeanAggregate",
    "ExposureGain",
    "MeanAggregate",
    "MedianAggregate",
    "SoftmaxAggregate",
    "SwinAggregate",
    "SwinBlock",
    "consensus_logits",
    "embedded_mean_aggregate",
    "exposure_gain",
    "mean_aggregate",
    "median_aggregate",
    "softmax_aggregate",
    "swin_aggregate",
    "swin_block",
]
