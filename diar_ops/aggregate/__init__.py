"""From aligned frames to one picture."""

from diar_ops.aggregate.consensus import ConsensusLogits, consensus_logits
from diar_ops.aggregate.exposure import ExposureGain, exposure_gain
from diar_ops.aggregate.mean import MeanAggregate, mean_aggregate
from diar_ops.aggregate.median import MedianAggregate, median_aggregate
from diar_ops.aggregate.softmax import SoftmaxAggregate, softmax_aggregate

__all__ = [
    "ConsensusLogits",
    "ExposureGain",
    "MeanAggregate",
    "MedianAggregate",
    "SoftmaxAggregate",
    "consensus_logits",
    "exposure_gain",
    "mean_aggregate",
    "median_aggregate",
    "softmax_aggregate",
]
