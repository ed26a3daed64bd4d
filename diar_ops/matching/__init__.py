"""Dense descriptors and their correspondences."""

from diar_ops.matching.dense_sift import (
    DenseSIFT,
    dense_sift,
)

__all__ = [
    "DenseSIFT",
    "dense_sift",
]
