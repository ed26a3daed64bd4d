"""Dense descriptors and their correspondences."""

from diar_ops.matching.dense_sift import (
    DenseSIFT,
    dense_sift,
)
from diar_ops.matching.descriptors import (
    DenseDescriptor,
    dense_descriptors,
)

__all__ = [
    "DenseDescriptor",
    "DenseSIFT",
    "dense_descriptors",
    "dense_sift",
]
