"""From aligned frames to one picture."""

from diar_ops.aggregate.consensus import ConsensusLogits, consensus_logits
from diar_ops.aggregate.embedded_mean import EmbeddedMeanAggregate, embedded_mean_aggregate
from diar_ops.aggregate.exposure import ExposureGain, exposure_gain
from diar_ops.aggregate.intrinsic import IntrinsicAggregate, intrinsic_aggregate
from diar_ops.aggregate.mean import MeanAggregate, mean_aggregate
from diar_ops.aggregate.median import MedianAggregate, median_aggregate
from diar_ops.aggregate.rpca import RPCAAggregate, rpca_aggregate
from diar_ops.aggregate.soft_minimum import SoftMinimumAggregate, soft_minimum_aggregate
from diar_ops.aggregate.softmax import SoftmaxAggregate, softmax_aggregate
from diar_ops.aggregate.swin import SwinAggregate, swin_aggregate
from diar_ops.aggregate.swin_block import MOST_RATIO, SwinBlock, swin_block

__all__ = [
    "MOST_RATIO",
    "ConsensusLogits",
    "EmbeddedMeanAggregate",
    "ExposureGain",
    "IntrinsicAggregate",
    "MeanAggregate",
    "MedianAggregate",
    "RPCAAggregate",
    "SoftMinimumAggregate",
    "SoftmaxAggregate",
    "SwinAggregate",
    "SwinBlock",
    "consensus_logits",
    "embedded_mean_aggregate",
    "exposure_gain",
    "intrinsic_aggregate",
    "mean_aggregate",
    "median_aggregate",
    "rpca_aggregate",
    "soft_minimum_aggregate",
    "softmax_aggregate",
    "swin_aggregate",
    "swin_block",
]
