"""From aligned frames to one picture."""

from diar_ops.aggregate.mean import MeanAggregate, mean_aggregate
from diar_ops.aggregate.median import MedianAggregate, median_aggregate
from diar_ops.aggregate.softmax import SoftmaxAggregate, softmax_aggregate

__all__ = [
    "MeanAggregate",
    "MedianAggregate",
    "SoftmaxAggregate",
    "mean_aggregate",
    "median_aggregate",
    "softmax_aggregate",
]
